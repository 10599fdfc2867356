"""What a visitor takes along: stored runs, reports, saved models."""

"""Pure functions from tensors to tensors: moments, reconstructions, error curves, criteria."""

"""Quality, answers, speed and size of a model before and after pruning."""

"""Speed of two models in turns, and the size of their weights."""

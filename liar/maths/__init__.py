"""Tensors in, tensors out: moments, reconstructions, error curves, criteria."""

"""What the text says about the dense model: moments and gradients of every site."""

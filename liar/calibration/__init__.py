"""Statistics of the dense model on the calibration text: moments and gradients of every site."""

"""Text for calibration and evaluation: the demo bundle, local files and hub datasets behind one loader."""

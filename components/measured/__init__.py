"""What was measured: the headline, the bars, accuracy, answers and speed."""

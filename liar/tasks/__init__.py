"""Tasks: one record each for what a model can be measured on, with the metrics, texts and splits that records name."""

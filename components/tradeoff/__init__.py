"""Several recipes side by side: the trade-off, masks and criteria."""

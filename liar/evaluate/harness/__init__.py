"""Any task of lm-evaluation-harness, an extra of this library."""

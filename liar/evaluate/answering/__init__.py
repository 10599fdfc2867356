"""Answers to prompts: generated, scored by the dense model, and compared."""

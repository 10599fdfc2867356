"""A smaller vocabulary: which tokens others are made of, the tokenizer without the rest, and the model without their rows."""

"""Save a pruned model as a checkpoint that loads without LIAR, test that it does, and push it to the Hub."""

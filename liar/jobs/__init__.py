"""Whole jobs: a run, a sweep, a mask table, an atlas, the ratio for a need, the models of a stored run."""

"""Whole jobs: a run, a sweep, a table of masks, an atlas, the models of a stored run."""

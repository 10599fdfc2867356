"""Whole jobs: a run, a sweep, a mask table, an atlas, the models of a stored run, the training of an adapter."""

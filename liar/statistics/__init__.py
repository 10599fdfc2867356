"""Comparisons of results: paired differences, and what several runs say together."""

"""A checkpoint that others can load, and the ways to hand it on."""

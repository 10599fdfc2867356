"""The public name of :mod:`liar.maths.reconstruct`: repairs in closed form from moments and a weight."""

from liar.maths.reconstruct import RIDGE, Solution, reconstruct, reconstruct_all, relative_errors, ridge_of

__all__ = ["RIDGE", "Solution", "reconstruct", "reconstruct_all", "relative_errors", "ridge_of"]

"""The public name of :mod:`liar.maths.reconstruct`: repairs in closed form from moments and a weight."""

from liar.maths.reconstruct import Solution, reconstruct, reconstruct_all
from liar.maths.relative_errors import relative_errors
from liar.maths.solver import RIDGE, ridge_of

__all__ = ["RIDGE", "Solution", "reconstruct", "reconstruct_all", "relative_errors", "ridge_of"]

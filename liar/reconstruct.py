"""The public names of repairs in closed form from moments and a weight, of their errors and of the ridge."""

from liar.maths.reconstruct import Solution, reconstruct, reconstruct_all
from liar.maths.relative_errors import relative_errors
from liar.maths.solver import RIDGE, ridge_of

__all__ = ["RIDGE", "Solution", "reconstruct", "reconstruct_all", "relative_errors", "ridge_of"]

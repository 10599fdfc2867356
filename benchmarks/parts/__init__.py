"""Parts of the study, one file each: a record with its points, measured or pending, and their report."""

from parts.nonlinear import NONLINEAR
from parts.points import Part
from parts.truth import TRUTH

PARTS: dict[str, Part] = {part.name: part for part in (TRUTH, NONLINEAR)}

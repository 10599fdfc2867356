"""Parts of the study, one file each: a record with its points, measured or pending, and their report."""

from parts.domains import DOMAINS
from parts.first import FIRST
from parts.masks import MASKS
from parts.nonlinear import NONLINEAR
from parts.points import Part
from parts.quantized import QUANTIZED
from parts.ratios import RATIOS_PART
from parts.sizes import SIZES
from parts.truth import TRUTH

PARTS: dict[str, Part] = {
    part.name: part for part in (TRUTH, FIRST, RATIOS_PART, SIZES, DOMAINS, QUANTIZED, MASKS, NONLINEAR)
}

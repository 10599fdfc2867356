"""The public name of :mod:`liar.maths.moments`: moments of a layer's input from bare tensors."""

from liar.maths.moments import Moments, MomentsAccumulator, SiteMoments, SiteMomentsAccumulator

__all__ = ["Moments", "MomentsAccumulator", "SiteMoments", "SiteMomentsAccumulator"]

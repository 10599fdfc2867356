"""Every error a person can meet. Each message is one sentence that says what is wrong and what to do about it.

The command line prints the message and exits with code 2; the page shows it as a notice. Anything that is not a
:class:`LiarError` is a bug.
"""

from __future__ import annotations


class LiarError(Exception):
    """Base of all expected failures; ``str(error)`` is one sentence with a way out."""


class InvalidSpecError(LiarError, ValueError):
    """A choice of the run is unknown, out of range, or contradicts another one."""


class UnsupportedModelError(LiarError):
    """The model is of a family that no adapter covers."""


class ModelNotFoundError(LiarError):
    """The model id is unknown, gated, or out of reach without a network."""


class DownloadError(LiarError):
    """The demo bundle could not be fetched, or what arrived is damaged."""


class CalibrationError(LiarError):
    """The calibration text is missing, empty, too short, or has no measurable use for this model."""


class AmbiguousLabelsError(CalibrationError):
    """Labels of a text that can be read as names of the model's classes and as their numbers, with different meanings."""


class NonFiniteError(LiarError):
    """A weight, a moment or a solution holds NaN or Inf; the message names the site."""


class SingularSystemError(LiarError):
    """A covariance could not be factorised even with growing jitter; the message names the site and token count."""


class EmptySiteError(InvalidSpecError):
    """The ratio would leave a site without units."""


class InsufficientMemoryError(LiarError):
    """The run does not fit; the message says what would."""


class StorageError(LiarError):
    """A file or folder cannot be written (missing parent, read-only, full disk)."""


class PushError(LiarError):
    """The Hub refuses a checkpoint or cannot be reached; the message never holds a token."""


class QueueFullError(LiarError):
    """Too many jobs are waiting; the message says when to come back."""

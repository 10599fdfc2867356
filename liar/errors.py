"""All errors that a user can meet. Each message is one sentence: what is wrong and how to fix it.

The command line prints the message and exits with code 2; the page shows it as a notice. Any exception that is not a
:class:`LiarError` is a bug.
"""

from __future__ import annotations


class LiarError(Exception):
    """Base class of all expected failures; ``str(error)`` is one sentence with a remedy."""


class InvalidSpecError(LiarError, ValueError):
    """A choice of the run is unknown, out of range, or contradicts another one."""


class UnsupportedModelError(LiarError):
    """The model belongs to a family without an adapter."""


class ModelNotFoundError(LiarError):
    """The model id is unknown, gated, or out of reach without a network."""


class DownloadError(LiarError):
    """The demo bundle could not be downloaded, or the downloaded file is damaged."""


class CalibrationError(LiarError):
    """A text is missing, empty, too short, or cannot be used to calibrate or measure this model."""


class ShortTextError(CalibrationError):
    """A text holds fewer tokens than a recipe asks for; ``most`` is the largest number that can be asked for."""

    def __init__(self, message: str, most: int) -> None:
        super().__init__(message)
        self.most = most


class AmbiguousLabelsError(CalibrationError):
    """Labels of a text match the model's classes both by name and by number, with different meanings."""


class NonFiniteError(LiarError):
    """A weight, a moment or a solution holds NaN or Inf; the message names the site."""


class SingularSystemError(LiarError):
    """A covariance could not be factorised even with growing jitter; the message names the site and token count."""


class EmptySiteError(InvalidSpecError):
    """The ratio would leave a site without units."""


class InsufficientMemoryError(LiarError):
    """The run does not fit into memory; the message proposes a smaller one."""


class ProcessError(LiarError):
    """Processes that share the work cannot go on: they differ, or one of them has ended."""


class StorageError(LiarError):
    """A file or folder cannot be written (missing parent, read-only, full disk)."""


class PushError(LiarError):
    """The Hub refuses a checkpoint or cannot be reached; the message never contains a token."""


class QueueFullError(LiarError):
    """Too many jobs are waiting; the message states when to try again."""

"""Version of the package, recorded in results, checkpoints and reports."""

__version__ = "0.1.0"

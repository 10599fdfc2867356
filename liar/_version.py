"""The version of the package: of results, checkpoints and reports too."""

__version__ = "0.1.0"

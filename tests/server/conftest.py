"""The services of a server without models, for every test of this folder."""

from tests.studio import studio

__all__ = ["studio"]

"""Before any test loads torch."""

from liar.startup import settle_threads

settle_threads()

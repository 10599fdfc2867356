"""Before any test loads torch."""

from liar.threads import settle_threads

settle_threads()

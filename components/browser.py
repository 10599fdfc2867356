"""Scripts that several panels run in the visitor's browser."""

from __future__ import annotations

DOWNLOAD = """
(file) => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name;
  document.body.append(link);
  link.click();
  link.remove();
}
"""
"""Save the file that an event has just put into a hidden download button, so that one click makes and saves it."""

"""Licence and notice files of a model: fetched with a model of the Hub, copied beside a saved one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from huggingface_hub import HfApi

from liar.loading.source import PROBE_SECONDS, Source, is_network_error

_NAME = re.compile(
    r"(LICEN[CS]ES?|NOTICES?|COPYING|COPYRIGHT|AUTHORS|(ACCEPTABLE[-_])?USE[-_]POLICY|THIRD[-_]PARTY)"
    r"([-_][\w-]+)?(\.\d+)*(\.(txt|md|rst|html|pdf))?",
    flags=re.IGNORECASE | re.ASCII,
)
"""Names that are accepted: no path, no code, nothing that a loader reads."""

_MOST_BYTES = 1_000_000
"""Size of the largest file that is accepted; the longest common licence has 35 kB."""

_MOST_FILES = 20


def fetch_notices(source: Source) -> None:
    """Download the notices of a model of the Hub to the snapshot in its cache; without a network do nothing."""
    if source.local_only:
        return
    hub = HfApi()
    try:
        found = hub.model_info(source.path, revision=source.revision, timeout=PROBE_SECONDS, files_metadata=True)
        wanted = [file.rfilename for file in found.siblings or [] if _is_accepted(file.rfilename, file.size)]
        for name in sorted(wanted)[:_MOST_FILES]:
            hub.hf_hub_download(source.path, name, revision=source.revision, etag_timeout=PROBE_SECONDS)
    except Exception as error:
        if not isinstance(error, OSError) and not is_network_error(error):
            raise


def copy_notices(model: Path, folder: Path) -> list[str]:
    """Copy the notices in the folder ``model`` to ``folder``; returns their names.

    Only regular files are copied, and links into the blobs of the Hub's cache: a link in a folder from elsewhere may
    lead to a private file.
    """
    files = sorted(path for path in model.iterdir() if path.is_file() and _is_own(path))
    names = [path.name for path in files if _is_accepted(path.name, path.stat().st_size)][:_MOST_FILES]
    for name in names:
        shutil.copyfile(model / name, folder / name)
    return names


def _is_accepted(name: str, size: int | None) -> bool:
    return _NAME.fullmatch(name) is not None and size is not None and size <= _MOST_BYTES


def _is_own(path: Path) -> bool:
    home, target = path.parent.resolve(), path.resolve()
    return target == home / path.name or target.parent == home.parent.parent / "blobs"

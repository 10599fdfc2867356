"""A small hub on loopback: as much of the Hub's HTTP interface as a dataset is streamed with and a model is loaded with.

``repositories`` maps the id of a dataset or model to its files; the ids in ``gated`` are described to everybody and given
to nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import unquote

from tests.loopback import Handler, serving

SHA = "0a1b" * 10


@dataclass
class DataHub:
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    address: str = ""


@contextmanager
def running(hub: DataHub) -> Iterator[DataHub]:
    """Serve ``hub`` on a free port; ``hub.address`` is the endpoint for both libraries."""
    with serving(_Handler, hub=hub) as hub.address:
        yield hub


class _Handler(Handler):
    hub: ClassVar[DataHub]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        is_api = parts[0] == "api"
        parts = parts[2:] if is_api else parts[parts[0] == "datasets" :]
        name, rest = "/".join(parts[:2]), parts[2:]
        files = self.hub.repositories.get(name)
        if files is None:
            self.send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif not is_api and name in self.hub.gated:
            self.send(401, {"error": "gated"}, {"X-Error-Code": "GatedRepo", "X-Error-Message": f"{name} is gated"})
        elif not is_api:
            self._file(files, "/".join(rest[2:]))
        elif rest[:1] == ["paths-info"]:
            entries = _entries(files)
            self.send(200, [entries[path] for path in json.loads(body)["paths"] if path in entries])
        elif rest[:1] == ["tree"]:
            inside, deep = "/".join([*rest[2:], ""]), "recursive=true" in self.path.lower()
            below = {path: entry for path, entry in _entries(files).items() if path.startswith(inside)}
            self.send(200, [entry for path, entry in below.items() if deep or "/" not in path[len(inside) :]])
        else:
            siblings = [{"rfilename": path} for path in files]
            self.send(200, {"id": name, "sha": SHA, "private": False, "gated": False, "siblings": siblings})

    def _file(self, files: dict[str, bytes], path: str) -> None:
        if path not in files:
            self.send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
            return
        content, status, extra = files[path], 200, {"ETag": f'"{hashlib.sha1(files[path]).hexdigest()}"'}
        if "Range" in self.headers:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            start, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
            extra["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        self.send(status, content, {**extra, "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"})


def _entries(files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """What the hub says of each folder and file."""
    folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
    found = {path: {"type": "directory", "oid": SHA, "size": 0, "path": path} for path in sorted(folders)}
    for path, content in files.items():
        found[path] = {"type": "file", "oid": hashlib.sha1(content).hexdigest(), "size": len(content), "path": path}
    return found

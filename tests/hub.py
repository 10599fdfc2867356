"""A small hub on loopback: as much of the Hub's HTTP interface as a load, a dataset that is streamed, an upload without Xet and
a login use, in memory.

``answers`` maps the beginning of "METHOD /path" to a substitute for the real answer: a status, or "cut" to close the
connection in the middle of the request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlencode

import yaml
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.loopback import Handler, serving

LARGE = (".safetensors",)


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


MAIN = _digest(b"main")
"""Commit of the branch ``main``."""

KEY = RSAKey.generate_key(2048, {"kid": "hub", "use": "sig", "alg": "RS256"})
"""Signs who has logged in."""


@dataclass
class Repository:
    """A model or dataset: ``files`` are those of ``main``, ``revisions`` those of other branches; ``discussions`` as the Hub
    lists them. One that is ``gated`` is described to everybody and given to nobody.
    """

    private: bool = False
    gated: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    discussions: list[dict[str, Any]] = field(default_factory=list)

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Commit and files of a branch or commit."""
        for name, files in {"main": self.files, **self.revisions}.items():
            commit = _digest(name.encode())
            if revision in (name, commit):
                return commit, files
        return None


@dataclass
class Hub:
    """State of the hub: repositories, accounts, and the log of requests as (method and path, Authorization header).

    Without a ``token`` it lets everybody in.
    """

    token: str | None = None
    user: str = "ada"
    role: str = "write"
    organisations: tuple[tuple[str, str], ...] = ()
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, int | str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""
    nonce: str = ""
    client: str = ""
    scope: str = ""


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serve ``hub`` on a free port; ``hub.address`` is for HF_ENDPOINT."""
    with serving(_Handler, hub=hub) as hub.address:
        yield hub


class _Handler(Handler):
    hub: ClassVar[Hub]

    def answer(self) -> None:
        path, request = self.path.partition("?")[0], f"{self.command} {self.path}"
        self.hub.asked.append((request, self.headers.get("Authorization")))
        planned = next((plan for start, plan in self.hub.answers.items() if request.startswith(start)), None)
        if planned == "cut":
            self.rfile.read(int("Content-Length" in self.headers or "Transfer-Encoding" in self.headers))
            self.close_connection = True
            self.connection.shutdown(2)
            return
        body = self._body()
        if isinstance(planned, int):
            # Some servers echo the request; its token must not reach any output of the client.
            self.send(planned, {"error": f"no, not with {self.headers.get('Authorization')}"}, {"Retry-After": "0"})
        elif path.startswith(("/oauth/", "/.well-known/")):
            self._login(path, body)
        elif path.startswith("/objects/"):
            self.hub.objects[path.rpartition("/")[2]] = body
            self.send(200, {})
        elif self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.send(401, {"error": "Invalid credentials in Authorization header"})
        else:
            self._api(path, body)

    def _api(self, path: str, body: bytes) -> None:
        hub = self.hub
        repo, _, place = path[1:].removeprefix("datasets/").partition("/resolve/")
        if path == "/api/whoami-v2":
            organisations = [{"name": name, "roleInOrg": role} for name, role in hub.organisations]
            auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": hub.role}}
            self.send(200, {"type": "user", "name": hub.user, "orgs": organisations, "auth": auth})
        elif path == "/api/validate-yaml":
            card = json.loads(body)["content"]
            assert yaml.safe_load(card.split("---")[1])["library_name"] == "transformers"
            self.send(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization'] or hub.user}/{asked['name']}"
            status = 409 if repo in hub.repositories else 200
            hub.repositories.setdefault(repo, Repository(private=asked.get("visibility") == "private"))
            self.send(status, {"url": f"{hub.address}/{repo}"})
        elif path.endswith(".git/info/lfs/objects/batch"):
            placed = [self._place(item) for item in json.loads(body)["objects"]]
            self.send(200, {"transfer": "basic", "objects": placed})
        elif place and repo in hub.repositories:
            self._file(hub.repositories[repo], *map(unquote, place.split("/", 1)))
        elif (repo := "/".join(path.split("/")[3:5])) in hub.repositories:  # behind /api/models or /api/datasets
            self._repository(repo, path, body)
        else:
            self.send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def _login(self, path: str, body: bytes) -> None:
        """OpenID: everybody who asks is logged in as the user of the hub, and gets its token."""
        hub = self.hub
        if path == "/.well-known/openid-configuration":
            ends = {
                f"{name}_endpoint": f"{hub.address}/oauth/{name}" for name in ("authorization", "token", "userinfo")
            }
            self.send(200, ends | {"issuer": hub.address, "jwks_uri": f"{hub.address}/oauth/keys"})
        elif path == "/oauth/keys":
            self.send(200, KeySet([KEY]).as_dict(private=False))
        elif path == "/oauth/authorization":
            asked = {name: values[0] for name, values in parse_qs(self.path.partition("?")[2]).items()}
            hub.nonce, hub.client, hub.scope = asked["nonce"], asked["client_id"], asked["scope"]
            back = asked["redirect_uri"]
            query = urlencode({"code": "one", "state": asked["state"]}, quote_via=quote)
            self.send(302, b"", {"Location": f"{back}{'&' if '?' in back else '?'}{query}"})
        else:
            assert path == "/oauth/token"
            now = int(time.time())
            who = {
                "sub": "1",
                "name": hub.user.capitalize(),
                "preferred_username": hub.user,
                "profile": f"{hub.address}/{hub.user}",
                "picture": f"{hub.address}/{hub.user}.png",
            }
            claims = who | {"iss": hub.address, "aud": hub.client, "nonce": hub.nonce, "iat": now, "exp": now + 3600}
            token = {"access_token": hub.token, "token_type": "bearer", "expires_in": 3600, "scope": hub.scope}
            self.send(200, token | {"id_token": jwt.encode({"alg": "RS256", "kid": "hub"}, claims, KEY)})

    def _place(self, item: dict[str, Any]) -> dict[str, Any]:
        """Upload action of an object; none if the hub already has it."""
        known = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] in self.hub.objects:
            return known
        return known | {"actions": {"upload": {"href": f"{self.hub.address}/objects/{item['oid']}"}}}

    def _file(self, stored: Repository, revision: str, name: str) -> None:
        found = stored.at(revision)
        if stored.gated:
            self.send(401, {"error": "gated"}, {"X-Error-Code": "GatedRepo", "X-Error-Message": "It is gated"})
        elif found is None:
            self.send(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        elif name not in found[1]:
            self.send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": found[0]})
        else:
            content, status, extra = found[1][name], 200, {"ETag": f'"{_digest(found[1][name])}"'}
            if "Range" in self.headers:
                first, last = self.headers["Range"].removeprefix("bytes=").split("-")
                start, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
                extra["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
                content, status = content[start : end + 1], 206
            self.send(status, content, {**extra, "X-Repo-Commit": found[0], "Accept-Ranges": "bytes"})

    def _repository(self, repo: str, path: str, body: bytes) -> None:
        stored = self.hub.repositories[repo]
        if path.endswith("/preupload/main"):
            modes = {
                item["path"]: "lfs" if item["path"].endswith(LARGE) else "regular" for item in json.loads(body)["files"]
            }
            found = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
            self.send(200, {"files": found})
        elif path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                self._change(stored, line["key"], line["value"])
            stored.commits += 1
            oid = f"{stored.commits:040x}"
            self.send(200, {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.address}/{repo}/commit/{oid}"})
        elif path.endswith("/discussions"):
            self.send(200, {"discussions": stored.discussions, "count": len(stored.discussions), "start": 0})
        elif "/paths-info/" in path:
            entries = _entries(stored.files)
            self.send(200, [entries[name] for name in json.loads(body)["paths"] if name in entries])
        elif "/tree/" in path:
            inside = unquote(path.partition("/tree/")[2].partition("/")[2])
            deep, start = "recursive=true" in self.path.lower(), f"{inside}/" if inside else ""
            below = {name: entry for name, entry in _entries(stored.files).items() if name.startswith(start)}
            self.send(200, [entry for name, entry in below.items() if deep or "/" not in name[len(start) :]])
        else:
            found = stored.at(unquote(path.partition("/revision/")[2]) or "main")
            if found is None:
                self.send(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
                return
            siblings = [{"rfilename": name, "size": len(data)} for name, data in found[1].items()]
            facts = {"private": stored.private, "gated": False, "siblings": siblings}
            self.send(200, {"id": repo, "sha": found[0], **facts})

    def _change(self, stored: Repository, key: str, value: dict[str, Any]) -> None:
        if key == "file":
            stored.files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            data = self.hub.objects[value["oid"]]
            assert hashlib.sha256(data).hexdigest() == value["oid"]
            stored.files[value["path"]] = data
        elif key == "deletedFile":
            del stored.files[value["path"]]
        else:
            assert key == "header", key

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


def _entries(files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """What the hub says of each folder and file."""
    folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
    found = {path: {"type": "directory", "oid": MAIN, "size": 0, "path": path} for path in sorted(folders)}
    for path, content in files.items():
        found[path] = {"type": "file", "oid": _digest(content), "size": len(content), "path": path}
    return found

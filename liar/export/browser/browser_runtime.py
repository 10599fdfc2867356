"""What runs a model in a browser: two packages of npm, fetched once into a user cache, pinned with their hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import files as files_of
from pathlib import Path
from tempfile import TemporaryDirectory

from liar.errors import DownloadError, InvalidSpecError
from liar.files import cache_folder, whole_folder


@dataclass(frozen=True, slots=True)
class _Package:
    """An archive with the sha512 ``integrity``, and the ``members`` of it that are needed."""

    name: str
    version: str
    integrity: str
    members: tuple[str, ...]


_PACKAGES = (
    _Package(
        "onnxruntime-web",
        "1.24.3",
        "sha512-41dDq7fxtTm0XzGE7N0d6m8FcOY8EWtUA65GkOixJPB/G7DGzBmiDAnVVXHznRw9bgUZpb+4/1lQK/PNxGpbrQ==",
        ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"),
    ),
    _Package(
        "@huggingface/tokenizers",
        "0.2.0",
        "sha512-LidMHe1FpcSYH4vcSjXooda34pC0M8m1gmDOv7SQi6Iv+ib1zX7J3sHBCC9/3FPCkn2k1b55FneVqMRxrr99pg==",
        ("dist/tokenizers.min.mjs", "LICENSE"),
    ),
)


def npm() -> str:
    """The npm of this environment or of the system; raises :class:`InvalidSpecError` if there is none."""
    found = shutil.which("npm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise InvalidSpecError(
            "A page for browsers needs npm, which fetches their runtime; install what it takes by `pip install 'liar[page]'`."
        )
    return found


def runtime_folder() -> Path:
    """Where the files are kept, by the versions of the packages."""
    return cache_folder() / "-".join(["browser", *(package.version for package in _PACKAGES)])


def fetch_runtime() -> Iterator[str]:
    """Fetch what is missing, 31 MB; yields what is done, in words.

    Raises :class:`InvalidSpecError` without npm, :class:`DownloadError` for a package that is not the pinned one, or not to be
    had.
    """
    folder = runtime_folder()
    if folder.is_dir():
        return
    command = npm()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as partial, TemporaryDirectory() as scratch:
        for package in _PACKAGES:
            yield f"Fetching {package.name} {package.version}"
            _unpack(_archive(command, package, Path(scratch)), package, partial)
        _copy_licences(partial)


def _archive(command: str, package: _Package, folder: Path) -> Path:
    wanted = f"{package.name}@{package.version}"
    options = ["--pack-destination", str(folder), "--silent", "--ignore-scripts"]
    path = f"{Path(command).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # npm starts the node beside it
    try:
        done = subprocess.run(
            [command, "pack", wanted, *options],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode != 0:
        raise DownloadError(
            f"npm did not get {wanted}; check the network, or the registry in npm's settings, and try again."
        )
    archive = folder / done.stdout.split()[-1]
    found = f"sha512-{b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()}"
    if found != package.integrity:
        raise DownloadError(
            f"The {wanted} that npm got is damaged or another one: its sha512 is not the pinned one; try again."
        )
    return archive


def _unpack(archive: Path, package: _Package, folder: Path) -> None:
    """Write the members without their folders; those of a licence get the name of the package."""
    with tarfile.open(archive) as tar:
        for member in package.members:
            content = tar.extractfile(f"package/{member}")
            assert content is not None, "the hash pins what is in it"
            name = Path(member).name
            (folder / (f"{name}-{package.name.rpartition('/')[2]}" if name == "LICENSE" else name)).write_bytes(
                content.read()
            )


def _copy_licences(folder: Path) -> None:
    """The licence of onnxruntime and of what is compiled into it, which only its Python package has with it."""
    for path in files_of("onnxruntime") or ():
        if path.name in ("LICENSE", "ThirdPartyNotices.txt"):
            shutil.copyfile(str(path.locate()), folder / f"{path.stem}-onnxruntime{path.suffix}")

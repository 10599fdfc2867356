"""The job of an export: one folder with the model in another runtime's format, whole or not at all.

>>> from pathlib import Path
>>> from liar.export.exporting import export_steps
>>> from liar.progress import finish
>>> finish(export_steps("tiny", "onnx", Path("exported"))).files
('onnx/model.onnx',)
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile

from liar.errors import InvalidSpecError, LiarError
from liar.events import Progress
from liar.export.job import Job, Writing, Written
from liar.export.papers import write_papers
from liar.files import check_new_folder, whole_folder
from liar.loading.catalog import load_model
from liar.loading.source import weight_bytes
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.models.quantize import is_quantized
from liar.progress import Pace, Part
from liar.report.exported import RECORD, Export, Format, Weights
from liar.runtime.environment import readable_failures
from liar.runtime.memory import PlannedWork
from liar.runtime.offload import is_offloaded

_NEEDS: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino", "nncf"),
    "gguf": ("gguf",),
    "vllm": (),
}
"""Packages that write and check a format; an extra of the same name installs those that are no requirement."""

_IMPORTS, _BYTES_A_SECOND = 14, 7e6
"""Seconds until a fresh process begins, and how many bytes of weights it traces, writes and compares in one."""

_NOT_WRITTEN: Mapping[tuple[Format, Weights], str] = {
    (
        "onnx",
        "fp16",
    ): "ONNX has no fp16 for CPUs that is faster or kept in products; take fp32 or int8, or OpenVINO or GGUF.",
    ("vllm", "int8"): "vLLM rounds weights when it loads them (`--quantization`); take fp32 or fp16.",
}


def check_request(to: Format, weights: Weights, out: Path) -> None:
    """Raise :class:`InvalidSpecError` or :class:`StorageError` for what cannot be written, before the model is loaded."""
    check_new_folder(out)
    missing = [name for name in _NEEDS[to] if find_spec(name) is None]
    if missing:
        raise InvalidSpecError(
            f"An export to {to} needs {' and '.join(missing)}; install what it takes by `pip install 'liar[{to}]'`."
        )
    if (to, weights) in _NOT_WRITTEN:
        raise InvalidSpecError(_NOT_WRITTEN[to, weights])


def export_steps(
    model: str, to: Format, out: Path, weights: Weights = "fp32", *, cache: bool = True
) -> Generator[Progress, None, Export]:
    """Write ``model`` (a folder, a Hub id or a demo model) to the new folder ``out`` and compare it with torch.

    ``cache``: whether a language model's graph takes the keys and values of earlier tokens. Raises :class:`InvalidSpecError`
    for a missing package or a format without these ``weights``, :class:`UnsupportedModelError` for a model that the format
    cannot hold, :class:`LiarError` if the answers are not those of torch, and what :func:`load_model` raises.
    """
    check_request(to, weights, out)
    with readable_failures():
        yield Progress("load", 0, 1, f"Loading {model}")
        loaded = load_model(model, "cpu", "float32", work=PlannedWork(prunes=False))
        return (yield from exported(loaded, to, out, weights, cache=cache))


def exported(
    loaded: LoadedModel, to: Format, out: Path, weights: Weights, *, cache: bool = True
) -> Generator[Progress, None, Export]:
    """Write a model in memory, see :func:`export_steps`."""
    _check_loaded(loaded)
    size = bytes_in_memory(loaded.model)
    pace = Pace(_parts(loaded, to, weights, size))
    with whole_folder(out) as partial:
        job = Job(loaded, to, weights, partial, out.name, pace, cache)
        record = _record(job, (yield from _writing(job)))
        write_papers(loaded, record, partial)
    return record


def _writing(job: Job) -> Writing:
    if job.to == "gguf":
        from liar.export.llama.llama_cpp import write_llama_cpp

        return write_llama_cpp(job)
    if job.to == "vllm":
        from liar.export.llama.vllm import write_vllm

        return write_vllm(job)
    from liar.export.traced import write_traced

    return write_traced(job)


def apart(folder: Path, to: Format, out: Path, weights: Weights) -> Generator[Progress, None, Export]:
    """:func:`export_steps` of a saved ``folder`` in a process of its own: closing the generator ends it at once, and its memory
    is free afterwards. Raises :class:`LiarError` with the sentence of that process.
    """
    check_request(to, weights, out)
    flags = {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8"]}[weights]
    expected = _IMPORTS + weight_bytes(folder) / _BYTES_A_SECOND
    pace = Pace([Part("export", expected)])
    command = [sys.executable, "-m", "liar", "export", str(folder), "--to", to, "--out", str(out), *flags]
    with TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        yield from _waiting(process, pace, to, expected)
        said.seek(0)
        reason = said.read().rpartition("Error: ")[2] or "The export ended without a reason."
    if process.returncode != 0:
        raise LiarError(" ".join(reason.split()))
    return Export.model_validate_json((out / RECORD).read_text(encoding="utf-8"))


def _waiting(process: subprocess.Popen[bytes], pace: Pace, to: Format, expected: float) -> Iterator[Progress]:
    """Progress until the ``process`` ends, by the seconds that are ``expected``; closing the generator kills the process."""
    begun = time.monotonic()
    try:
        while process.poll() is None:
            done = min((time.monotonic() - begun) / expected, 0.95)
            yield pace.at("export", "save", 0, 1, f"Writing it for {to} and comparing it with torch", fraction=done)
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _check_loaded(loaded: LoadedModel) -> None:
    if is_quantized(loaded.model):
        raise InvalidSpecError(
            f"The weights of {_name_of(loaded)} are rounded to int8 already; export the model as it was before, with --int8."
        )
    if is_offloaded(loaded.model):
        raise InvalidSpecError(
            f"{_name_of(loaded)} does not fit into memory, which an export needs; take a machine with more."
        )


def _parts(loaded: LoadedModel, to: Format, weights: Weights, size: int) -> list[Part]:
    """The plan, in seconds of a laptop: tracing takes time for each layer, the rest for each byte."""
    layers, reading = len(loaded.adapter.layers), size / 3e7 + 1
    if to in ("gguf", "vllm"):
        return [Part("write", size / 3e8 + 0.5), Part("check", reading)]
    parts = [Part("trace", 2 * layers if loaded.is_language_model else layers), Part("check", reading)]
    if weights != "fp32" or to == "openvino":
        parts += [Part("convert", size / 5e7 + 1), Part("compare", 2 * reading)]
    return parts


def _record(job: Job, written: Written) -> Export:
    return Export(
        source=_name_of(job.loaded),
        format=job.to,
        weights=job.weights,
        architecture=written.architecture,
        files=written.files,
        bytes=sum((job.folder / name).stat().st_size for name in written.files),
        checks=written.checks,
        notes=written.notes,
        code=written.code,
        versions={
            name: found for name in ("liar", "torch", "transformers", *_NEEDS[job.to]) if (found := _version(name))
        },
    )


def _name_of(loaded: LoadedModel) -> str:
    """Its id; of a folder the last part of the path, which may be private."""
    return Path(loaded.id).name if Path(loaded.id).is_dir() else loaded.id


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

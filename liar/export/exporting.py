"""The job of an export: one folder with the model in another runtime's format, whole or not at all.

>>> from pathlib import Path
>>> from liar.export.exporting import export_steps
>>> from liar.progress import finish
>>> finish(export_steps("tiny", "onnx", Path("exported"))).files
('onnx/model.onnx',)
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import torch

from liar.errors import InvalidSpecError, LiarError
from liar.events import Progress
from liar.export import parity
from liar.files import check_new_folder, whole_folder
from liar.loading.catalog import folder_of, load_model
from liar.loading.notices import copy_notices
from liar.loading.source import weight_bytes
from liar.loading.weights import auto_class
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.models.quantize import is_quantized
from liar.models.skeleton import model_class
from liar.progress import Pace, Part
from liar.report.exported import RECORD, Check, Export, Format, Weights
from liar.results import RunResult
from liar.runtime.environment import readable_failures
from liar.runtime.memory import PlannedWork
from liar.runtime.offload import is_offloaded
from liar.runtime.quiet import quiet_transformers
from liar.save.checkpoint import CARD_FILE, RESULT_FILE, encoder_of, save_tokenizer
from liar.save.model_card import Elsewhere, model_card

_NEEDS: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino", "nncf"),
    "gguf": ("gguf",),
}
"""Packages that write and check a format. Those of GGUF are always installed; else an extra of the same name does it."""

_IMPORTS, _BYTES_A_SECOND = 14, 7e6
"""Seconds until a fresh process begins, and how many bytes of weights it traces, writes and compares in one."""

_NO_FP16 = "ONNX has no fp16 for CPUs that is faster or kept in products; take fp32 or int8, or OpenVINO or GGUF."


def check_request(to: Format, weights: Weights, out: Path) -> None:
    """Raise :class:`InvalidSpecError` or :class:`StorageError` for what cannot be written, before the model is loaded."""
    check_new_folder(out)
    missing = [name for name in _NEEDS[to] if find_spec(name) is None]
    if missing:
        raise InvalidSpecError(
            f"An export to {to} needs {' and '.join(missing)}; install what it takes by `pip install 'liar[{to}]'`."
        )
    if to == "onnx" and weights == "fp16":
        raise InvalidSpecError(_NO_FP16)


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
        if to == "gguf":
            record = yield from _gguf(loaded, partial, out, weights, pace)
        else:
            record = yield from _graph(loaded, to, partial, out, weights, pace, cache=cache)
        _write_papers(loaded, record, partial)
    return record


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
    if to == "gguf":
        return [Part("write", size / 3e8 + 0.5), Part("check", reading)]
    parts = [Part("trace", 2 * layers if loaded.is_language_model else layers), Part("check", reading)]
    if weights != "fp32" or to == "openvino":
        parts += [Part("convert", size / 5e7 + 1), Part("compare", 2 * reading)]
    return parts


def _gguf(
    loaded: LoadedModel, partial: Path, out: Path, weights: Weights, pace: Pace
) -> Generator[Progress, None, Export]:
    from liar.export import gguf_check
    from liar.export.gguf_file import TYPES, architecture_of, write_gguf

    name = f"{out.name}-{TYPES[weights]}.gguf"
    yield pace.at("write", "save", 0, 2, f"Writing {name}", fraction=0.0)
    left = write_gguf(loaded, partial / name, weights, out.name)
    (partial / "Modelfile").write_text(f"FROM ./{name}\n", encoding="utf-8")
    yield pace.at("check", "save", 1, 2, "Comparing it with torch", fraction=0.0)
    checks = gguf_check.checks(loaded, partial / name, weights, torch.get_num_threads())
    notes = [] if checks is not None else [gguf_check.NOT_INSTALLED]
    if left:
        notes.append(
            f"{len(left)} weights are in f16: their rows are no multiple of 32, which q8_0 rounds together; prune with "
            "`--multiple 32`."
        )
    return _record(
        loaded,
        out,
        "gguf",
        weights,
        architecture=architecture_of(loaded),
        files=(name,),
        size=(partial / name).stat().st_size,
        checks=checks or [],
        notes=notes,
        code=_code(loaded, "gguf", name),
    )


def _graph(
    loaded: LoadedModel, to: Format, partial: Path, out: Path, weights: Weights, pace: Pace, *, cache: bool
) -> Generator[Progress, None, Export]:
    from liar.export.graph import graph_of, plain_attention, torch_run
    from liar.export.onnx import onnx_run, write_int8, write_onnx
    from liar.export.openvino import openvino_run, write_openvino

    threads = torch.get_num_threads()
    run = onnx_run if to == "onnx" else openvino_run
    target = partial / _file_of(to, weights)
    target.parent.mkdir()
    rounded = weights != "fp32"
    with TemporaryDirectory(dir=partial) as scratch:
        plain = Path(scratch, "model.onnx") if rounded or to == "openvino" else target
        yield pace.at("trace", "save", 0, 4, "Tracing the model", fraction=0.0)
        with quiet_transformers(), plain_attention(loaded):
            write_onnx(graph_of(loaded, cache=cache), plain, bytes_in_memory(loaded.model))
        checked = plain
        if to == "openvino":
            yield pace.at("convert", "save", 1, 4, "Converting it", fraction=0.0)
            checked = target if not rounded else Path(scratch, "model.xml")
            write_openvino(plain, checked, "fp32")
        yield pace.at("check", "save", 2, 4, "Comparing it with torch", fraction=0.0)
        texts = parity.texts_for(loaded, parity.TEXTS)
        inputs = [feed for size in (1, parity.TEXTS) for feed in parity.feeds(loaded, texts, size)]
        checks = [parity.largest_difference(list(parity.compare(torch_run(loaded), run(checked, threads), inputs)))]
        if rounded:
            yield pace.at("convert", "save", 2, 4, f"Rounding its weights to {weights}", fraction=0.5)
            if to == "onnx":
                write_int8(plain, target, weights_only=loaded.is_language_model)
            else:
                write_openvino(plain, target, weights)
            yield pace.at("compare", "save", 3, 4, "Comparing what is left with torch", fraction=0.0)
            more = list(parity.feeds(loaded, parity.texts_for(loaded, parity.MORE_TEXTS), parity.TEXTS))
            compared = list(parity.compare(torch_run(loaded), run(target, threads), more))
            checks.append(parity.agreement(loaded, compared))
    _write_plain(loaded, partial)
    files = sorted(str(path.relative_to(partial)) for path in target.parent.iterdir())
    return _record(
        loaded,
        out,
        to,
        weights,
        architecture=_plain_class(loaded),
        files=tuple(files),
        size=sum((partial / name).stat().st_size for name in files),
        checks=checks,
        notes=[],
        code=_code(loaded, to, _file_of(to, weights)),
    )


def _file_of(to: Format, weights: Weights) -> str:
    """Where Optimum, sentence-transformers and transformers.js look."""
    if to == "openvino":
        return "openvino/openvino_model.xml"
    return "onnx/model_quantized.onnx" if weights == "int8" else "onnx/model.onnx"


_CODE: Mapping[Format, str] = {
    "onnx": 'import onnxruntime\n\nsession = onnxruntime.InferenceSession("{name}")',
    "openvino": 'import openvino\n\nmodel = openvino.compile_model("{name}")',
    "gguf": 'from llama_cpp import Llama\n\nmodel = Llama("{name}")  # or: ollama create NAME -f Modelfile',
}

_SENTENCE_TRANSFORMER = """
# or, where Optimum is installed as well
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(".", backend="{to}"{chosen})"""


def _code(loaded: LoadedModel, to: Format, name: str) -> str:
    """Lines that load the file ``name`` from within the folder."""
    code = _CODE[to].format(name=name)
    if loaded.embedder is None or to == "gguf":
        return code
    usual = name in (_file_of("onnx", "fp32"), _file_of("openvino", "fp32"))
    chosen = "" if usual else f', model_kwargs={{"file_name": "{name}"}}'
    return f"{code}\n{_SENTENCE_TRANSFORMER.format(to=to, chosen=chosen)}"


def _plain_class(loaded: LoadedModel) -> str:
    return str(model_class(loaded.model).__name__)


def _write_plain(loaded: LoadedModel, folder: Path) -> None:
    """The config of the family without the sizes of ragged layers, which the graph holds, tokenizer and pooling."""
    own = model_class(loaded.model)
    config = json.loads(loaded.model.config.to_json_string(use_diff=False))
    for name in ("auto_map", "linears", "attributes", "_name_or_path"):
        config.pop(name, None)
    config |= {"model_type": own.config_class.model_type, "architectures": [own.__name__]}
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    with quiet_transformers():
        save_tokenizer(loaded.tokenizer, folder)
    for name, content in loaded.beside.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _write_papers(loaded: LoadedModel, record: Export, folder: Path) -> None:
    """Licence and notices of the folder that is exported, its run, and a card that says how this form is loaded."""
    (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    source = folder_of(loaded.id)
    if source is None:
        return
    notices = copy_notices(source, folder)
    if not (source / RESULT_FILE).is_file():
        return
    text = (source / RESULT_FILE).read_text(encoding="utf-8")
    (folder / RESULT_FILE).write_text(text, encoding="utf-8")
    checked = "\n".join(f"- {check.sentence}" for check in record.checks)
    card = model_card(
        RunResult.model_validate_json(text),
        str(auto_class([_plain_class(loaded)]).__name__),
        trust=False,
        notices=notices,
        encoder=encoder_of(loaded),
        elsewhere=Elsewhere(record.format, record.code, f"Compared with torch when it was written:\n\n{checked}"),
    )
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def _record(
    loaded: LoadedModel,
    out: Path,
    to: Format,
    weights: Weights,
    *,
    architecture: str,
    files: tuple[str, ...],
    size: int,
    checks: list[Check],
    notes: list[str],
    code: str,
) -> Export:
    return Export(
        source=_name_of(loaded),
        format=to,
        weights=weights,
        architecture=architecture,
        files=files,
        bytes=size,
        checks=tuple(checks),
        notes=tuple(notes),
        code=code,
        versions={name: found for name in ("liar", "torch", "transformers", *_NEEDS[to]) if (found := _version(name))},
    )


def _name_of(loaded: LoadedModel) -> str:
    """Its id; of a folder the last part of the path, which may be private."""
    return Path(loaded.id).name if Path(loaded.id).is_dir() else loaded.id


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

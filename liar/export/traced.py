"""The folder of a model that is traced as one graph: ONNX, and OpenVINO made of it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from liar.export import parity
from liar.export.graph import graph_of, plain_attention, torch_run
from liar.export.job import Job, Writing, Written
from liar.export.onnx import onnx_run, write_int8, write_onnx
from liar.export.openvino import openvino_run, write_openvino
from liar.export.papers import plain_class, write_config, write_tokenizer
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.report.exported import Format, Weights
from liar.runtime.quiet import quiet_transformers


def write_traced(job: Job) -> Writing:
    """Trace, convert, compare with torch, round, and compare what is left."""
    loaded, pace, threads = job.loaded, job.pace, torch.get_num_threads()
    run = onnx_run if job.to == "onnx" else openvino_run
    target = job.folder / file_of(job.to, job.weights)
    target.parent.mkdir()
    rounded = job.weights != "fp32"
    with TemporaryDirectory(dir=job.folder) as scratch:
        plain = Path(scratch, "model.onnx") if rounded or job.to == "openvino" else target
        yield pace.at("trace", "save", 0, 4, "Tracing the model", fraction=0.0)
        with quiet_transformers(), plain_attention(loaded):
            write_onnx(graph_of(loaded, cache=job.cache), plain, bytes_in_memory(loaded.model))
        checked = plain
        if job.to == "openvino":
            yield pace.at("convert", "save", 1, 4, "Converting it", fraction=0.0)
            checked = target if not rounded else Path(scratch, "model.xml")
            write_openvino(plain, checked, "fp32")
        yield pace.at("check", "save", 2, 4, "Comparing it with torch", fraction=0.0)
        checks = [parity.differences(loaded, torch_run(loaded), run(checked, threads))]
        if rounded:
            yield pace.at("convert", "save", 2, 4, f"Rounding its weights to {job.weights}", fraction=0.5)
            if job.to == "onnx":
                write_int8(plain, target, weights_only=loaded.is_language_model)
            else:
                write_openvino(plain, target, job.weights)
            yield pace.at("compare", "save", 3, 4, "Comparing what is left with torch", fraction=0.0)
            checks.append(parity.what_is_left(loaded, torch_run(loaded), run(target, threads)))
    write_config(loaded, job.folder)
    write_tokenizer(loaded, job.folder)
    files = sorted(str(path.relative_to(job.folder)) for path in target.parent.iterdir())
    return Written(
        plain_class(loaded), tuple(files), tuple(checks), _code(loaded, job.to, file_of(job.to, job.weights))
    )


def file_of(to: Format, weights: Weights) -> str:
    """Where Optimum, sentence-transformers and transformers.js look."""
    if to == "openvino":
        return "openvino/openvino_model.xml"
    return "onnx/model_quantized.onnx" if weights == "int8" else "onnx/model.onnx"


_CODE = {
    "onnx": 'import onnxruntime\n\nsession = onnxruntime.InferenceSession("{name}")',
    "openvino": 'import openvino\n\nmodel = openvino.compile_model("{name}")',
}

_SENTENCE_TRANSFORMER = """
# or, where Optimum is installed as well
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(".", backend="{to}"{chosen})"""


def _code(loaded: LoadedModel, to: Format, name: str) -> str:
    code = _CODE[to].format(name=name)
    if loaded.embedder is None:
        return code
    usual = name in (file_of("onnx", "fp32"), file_of("openvino", "fp32"))
    chosen = "" if usual else f', model_kwargs={{"file_name": "{name}"}}'
    return f"{code}\n{_SENTENCE_TRANSFORMER.format(to=to, chosen=chosen)}"

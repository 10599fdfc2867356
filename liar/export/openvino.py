"""OpenVINO, converted from the ONNX graph, so that both have the same names."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch

from liar.export.graph import completed
from liar.export.parity import Answer, Feed, Run
from liar.report.exported import Weights
from liar.runtime.quiet import quiet


def write_openvino(source: Path, target: Path, weights: Weights) -> None:
    """Convert the ONNX file ``source`` to ``target`` (.xml, with the weights beside it)."""
    import openvino

    model = openvino.convert_model(source)
    if weights == "int8":
        import nncf

        with quiet("nncf"), redirect_stdout(io.StringIO()):  # its bar
            model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    openvino.save_model(model, target, compress_to_fp16=weights == "fp16")


def openvino_run(path: Path, threads: int) -> Run:
    """Answers of the file at ``path`` in OpenVINO, which computes in fp32 here."""
    import openvino

    choices = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    model = openvino.compile_model(str(path), "CPU", choices)
    shapes = {
        each.any_name: tuple(int(size.get_length()) if size.is_static else None for size in each.partial_shape)
        for each in model.inputs
    }

    def run(feed: Feed) -> Answer:
        inputs = {name: np.ascontiguousarray(each.numpy()) for name, each in completed(feed, shapes).items()}
        answer = model(inputs)
        return {each.any_name: torch.from_numpy(np.array(answer[each])) for each in model.outputs}

    return run

"""ONNX, written by torch's own exporter.

transformers has an exporter too, from 5.24 on. Torch's is taken because it exports a wrapped model (pooling inside, the names
of Optimum and transformers.js for a cache) and is in every supported version; both gave the same graph of a ragged MiniLM.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.onnx.errors import OnnxExporterError

from liar.errors import UnsupportedModelError
from liar.export.graph import Graph, completed
from liar.export.parity import Answer, Feed, Run
from liar.runtime.quiet import quiet, quiet_transformers

_SINGLE_FILE = 1_500_000_000
"""Weights above it stand in a file of their own: a protobuf holds 2 GB."""


def write_onnx(graph: Graph, path: Path, size: int) -> None:
    """Write ``graph``, whose weights take ``size`` bytes, to ``path``."""
    with quiet_transformers(), quiet("torch.onnx", "torch.export", "onnxscript", "onnx_ir"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                graph.module.eval(),
                (),
                kwargs=dict(graph.inputs),
                input_names=graph.names,
                output_names=graph.outputs,
                dynamic_shapes=dict(graph.axes),
                dynamo=True,
                verbose=False,
            )
        except OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise UnsupportedModelError(
                f"torch cannot write this model as one graph ({reason}); a LLaMA can be exported to gguf."
            ) from error
        assert program is not None, "dynamo returns a program"
        program.save(str(path), external_data=size > _SINGLE_FILE)


def write_int8(source: Path, target: Path, *, weights_only: bool) -> None:
    """Round the weights of all products and embeddings to 8 bits.

    Of an encoder one scale serves an output channel, and activations are rounded as they come. The activations of a language
    model have outliers that such rounding destroys (a half of SmolLM2: 1.7 times the perplexity), so that its weights alone are
    rounded (``weights_only``), with a scale for each 32 of them (1.008 times). Where activations are rounded, weights have 7
    of the 8 bits: without VNNI a processor adds two products in 16 bits, and more would not fit
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    libraries = ("root", "onnxruntime.quantization", "onnxruntime.quantization.matmul_nbits_quantizer")
    with TemporaryDirectory() as scratch, quiet(*libraries):
        plain = Path(scratch, "plain.onnx")
        model = onnx.load(source)
        large = model.ByteSize() > _SINGLE_FILE
        if weights_only:
            _fold_transposes(model)
            choices = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, accuracy_level=4, bits=8)
            rounding = MatMulNBitsQuantizer(model, algo_config=choices)
            rounding.process()
            model = rounding.model.model
        del model.graph.value_info[:]  # shapes from before weights were turned; the quantizer infers its own
        onnx.save(model, plain, save_as_external_data=large)
        quantize_dynamic(
            plain,
            target,
            op_types_to_quantize=["Gather"] if weights_only else None,
            per_channel=not weights_only,
            reduce_range=not weights_only,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )


def _fold_transposes(model: Any) -> None:
    """Give every product its own weight: that of a tied output layer is the embedding, turned anew for each token."""
    from onnx import numpy_helper

    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights]:
        order = next((list(each.ints) for each in node.attribute if each.name == "perm"), None)
        turned = numpy_helper.to_array(weights[node.input[0]]).transpose(order)
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(turned), node.output[0]))
        graph.node.remove(node)


def onnx_run(path: Path, threads: int) -> Run:
    """Answers of the file at ``path`` in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shapes = {each.name: tuple(each.shape) for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]

    def run(feed: Feed) -> Answer:
        inputs = {name: np.ascontiguousarray(each.numpy()) for name, each in completed(feed, shapes).items()}
        return {name: torch.from_numpy(each) for name, each in zip(names, session.run(None, inputs), strict=True)}

    return run

"""The folder for vLLM of a model whose layers differ in width: its ``DeciLMForCausalLM``, made for NVIDIA's pruned LLaMAs.

Its config has of each layer the neurons and the query heads of a key head; the number of query heads, and whether there are
biases, are the same for all layers. Narrower attentions are filled up with heads of zeros, and missing biases are zeros.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import LlamaConfig, LlamaForCausalLM

from liar.errors import InvalidSpecError
from liar.export import parity
from liar.export.graph import torch_run
from liar.export.job import Job, Writing, Written
from liar.export.llama import configuration_decilm
from liar.export.llama.llama_like import check_family, head_width, sizes
from liar.export.papers import save_config, write_tokenizer
from liar.models.loaded import LoadedModel
from liar.models.ragged import ragged
from liar.models.skeleton import sizes_of
from liar.runtime.offload import save_weights
from liar.runtime.quiet import quiet_transformers
from liar.save.as_llama import as_llama
from liar.save.checkpoint import SHARD_BYTES

ARCHITECTURE = "DeciLMForCausalLM"

_CODE = 'from vllm import LLM\n\nmodel = LLM(".", trust_remote_code=True)  # or: vllm serve . --trust-remote-code'
_OTHERWISE = "Export it to onnx or openvino; of many families vLLM reads the stock folder as it is."
_STOCK = (
    "vLLM needs no export of this model, whose config names all of its sizes: save it, and run `vllm serve FOLDER`."
)


def write_vllm(job: Job) -> Writing:
    """Write weights and config, read them again by the sizes in that config, and compare the answers with torch.

    Raises :class:`UnsupportedModelError` for what computes otherwise than a LLaMA, and :class:`InvalidSpecError` for a model
    that vLLM reads as it is.
    """
    loaded = job.loaded
    check_family(loaded, "vLLM", _OTHERWISE)
    if not sizes_of(loaded.model).any or as_llama(loaded.model) is not None:
        raise InvalidSpecError(_STOCK)
    yield job.pace.at("write", "save", 0, 2, "Writing the weights", fraction=0.0)
    dtype = torch.float16 if job.weights == "fp16" else torch.float32
    layers = sizes(loaded)
    heads = max(layer.heads for layer in layers)
    with quiet_transformers():
        save_weights(loaded.model, job.folder, SHARD_BYTES, weights=_weights(loaded, heads, dtype))
    files = sorted(path.name for path in job.folder.glob("*.safetensors"))
    save_config(_config(loaded, heads, dtype), job.folder)
    code = inspect.getsource(configuration_decilm)
    (job.folder / "configuration_decilm.py").write_text(code, encoding="utf-8")
    write_tokenizer(loaded, job.folder)
    yield job.pace.at("check", "save", 1, 2, "Comparing it with torch", fraction=0.0)
    again = as_read(job.folder)
    compare = parity.differences if job.weights == "fp32" else parity.what_is_left
    checks = (compare(loaded, torch_run(loaded), lambda feed: {"logits": again(**feed, use_cache=False).logits}),)
    narrow = sum(layer.heads < heads for layer in layers)
    notes = (
        f"The attentions of {narrow} layers are filled up with heads of zeros, since vLLM has one number of heads for all "
        "layers: answers are the same, memory and time those of the widest.",
    )
    return Written(ARCHITECTURE, tuple(files), checks, _CODE, notes if narrow else ())


def as_read(folder: Path) -> Any:
    """The model that vLLM makes of a folder's config and weights, in fp32, built by transformers."""
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads, width, hidden = fields["num_attention_heads"], fields["head_dim"], fields["hidden_size"]
    linears, attributes = {}, {}
    for index, block in enumerate(fields["block_configs"]):
        layer, neurons, repeats = (
            f"model.layers.{index}",
            block["ffn"]["intermediate_size"],
            block["attention"]["n_heads_in_group"],
        )
        attributes[f"{layer}.self_attn"] = {"num_key_value_groups": repeats}
        for name in ("k_proj", "v_proj"):
            linears[f"{layer}.self_attn.{name}"] = (heads // repeats * width, hidden, fields["attention_bias"])
        for name in ("gate_proj", "up_proj"):
            linears[f"{layer}.mlp.{name}"] = (neurons, hidden, fields["mlp_bias"])
        linears[f"{layer}.mlp.down_proj"] = (hidden, neurons, fields["mlp_bias"])
    config_class, model_class = ragged(LlamaConfig, LlamaForCausalLM)
    model = cast(nn.Module, model_class(config_class(**fields, linears=linears, attributes=attributes)))
    weights = {name: each for path in folder.glob("*.safetensors") for name, each in load_file(path).items()}
    if fields["tie_word_embeddings"]:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights)
    return model.eval()


def _config(loaded: LoadedModel, heads: int, dtype: torch.dtype) -> dict[str, object]:
    """A LLaMA's fields, and the sizes of each layer."""
    known = LlamaConfig().to_dict()
    fields = {name: value for name, value in loaded.model.config.to_dict().items() if name in known}
    blocks = [
        {
            "attention": {"no_op": False, "n_heads_in_group": layer.heads // layer.groups},
            "ffn": {"no_op": False, "intermediate_size": layer.neurons},
        }
        for layer in sizes(loaded)
    ]
    return fields | {
        "architectures": [ARCHITECTURE],
        "attention_bias": True,
        "auto_map": {"AutoConfig": "configuration_decilm.DeciLMConfig"},
        "block_configs": blocks,
        "dtype": str(dtype).removeprefix("torch."),
        "head_dim": head_width(loaded.model.config),
        "mlp_bias": True,
        "model_type": configuration_decilm.DeciLMConfig.model_type,
        "num_attention_heads": heads,
        "num_key_value_heads": max(layer.groups for layer in sizes(loaded)),
    }


def _weights(loaded: LoadedModel, heads: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights with ``heads`` query heads in every attention and a bias in every linear layer of a block."""
    width = head_width(loaded.model.config)
    found = dict(cast(nn.Module, loaded.model).state_dict())
    if loaded.model.config.tie_word_embeddings:
        del found["lm_head.weight"]
    for index, (layer, size) in enumerate(zip(loaded.adapter.layers, sizes(loaded), strict=True)):
        queries, keys = heads * width, heads * size.groups // size.heads * width
        rows = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
        for name, linear in layer.named_modules():
            if isinstance(linear, nn.Linear):
                place, part = f"model.layers.{index}.{name}", name.rpartition(".")[2]
                more = rows.get(part, linear.out_features) - linear.out_features
                columns = queries - linear.in_features if part == "o_proj" else 0
                bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
                found[f"{place}.weight"] = pad(linear.weight, (0, columns, 0, more))
                found[f"{place}.bias"] = pad(bias, (0, more))
    return {name: each.detach().to(dtype).contiguous() for name, each in found.items()}

"""Checkpoints: a pruned model in a folder that loads without LIAR.

*Stock* if the family's own config can express every size: transformers, or any engine that reads the family, loads it.
*Ragged* otherwise (layers of different widths, heads removed from a BERT, a bias that the family does not have): the
folder then contains a short modelling file and loads with ``trust_remote_code=True``.

>>> from pathlib import Path
>>> from liar import load_model, save_model
>>> saved = save_model(load_model("tiny"), Path("copy"))
>>> saved.form, saved.precision
('stock', 'float32')
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from liar.errors import InvalidSpecError, ModelNotFoundError
from liar.files import whole_folder
from liar.loading.catalog import folder_of
from liar.loading.notices import copy_notices
from liar.loading.source import weight_bytes
from liar.loading.weights import auto_class
from liar.models import ragged
from liar.models.loaded import LoadedModel
from liar.models.quantize import is_quantized
from liar.report.export import as_json
from liar.results import RunResult
from liar.runtime.offload import save_weights
from liar.runtime.placement import choose_dtype
from liar.runtime.quiet import quiet_transformers
from liar.save.model_card import model_card

Form = Literal["stock", "ragged"]

RESULT_FILE = "liar.json"
CARD_FILE = "README.md"
MODELLING = "modeling_liar"

SHARD_BYTES = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint in ``folder``; ``bytes`` is the size on disk of its weights, ``precision`` their number format as configs
    write it, such as ``float32``; ``int8`` if they are quantized.
    """

    folder: Path
    form: Form
    bytes: int
    loader: str
    precision: str

    @property
    def sentence(self) -> str:
        """Sentence for the user: how the checkpoint loads, and why."""
        needs = " where torchao is installed" if self.precision == "int8" else ""
        if self.form == "stock":
            return f"An ordinary checkpoint of its family: {self.loader}.from_pretrained({str(self.folder)!r}) loads it{needs}."
        return (
            "Its layers have sizes that the family's config cannot name, so it brings a modelling file: "
            f"{self.loader}.from_pretrained({str(self.folder)!r}, trust_remote_code=True) loads it{needs}."
        )


def _sizes_of(model: PreTrainedModel) -> dict[str, Mapping[str, object]]:
    """Differences between ``model`` and the one its config would build, as :mod:`liar.models.ragged` reads them; both are
    empty for a stock model. It is compared with a skeleton, for which no weight is allocated.
    """
    family = _family(model)
    with init_empty_weights():
        skeleton = family(family.config_class.from_dict(model.config.to_dict()))
    linears: dict[str, tuple[int, int, bool]] = {}
    attributes: dict[str, dict[str, int]] = {}
    for name, module in cast(nn.Module, model).named_modules():
        plain = cast(nn.Module, skeleton).get_submodule(name)
        if isinstance(module, nn.Linear):
            found, expected = (
                (linear.out_features, linear.in_features, linear.bias is not None)
                for linear in (module, cast(Any, plain))
            )
            if found != expected:
                linears[name] = found
            continue
        changed = {
            key: value
            for key, value in vars(module).items()
            if type(value) is int and vars(plain).get(key) not in (value, None)
        }
        if changed:
            attributes[name] = changed
    return {"linears": linears, "attributes": attributes}


def _family(model: PreTrainedModel) -> Any:
    """The family's own model class, also for a model loaded from a ragged checkpoint."""
    return type(model).__mro__[1] if str(model.config.model_type).startswith(ragged.PREFIX) else type(model)


def save_model(
    loaded: LoadedModel,
    folder: Path,
    result: RunResult | None = None,
    *,
    dtype: str = "auto",
    shard_bytes: int = SHARD_BYTES,
) -> Saved:
    """Write weights, config, tokenizer and, of a ``result``, JSON and model card to a new ``folder``, all or nothing.

    Licence and notice files of the base model are copied (:mod:`liar.loading.notices`).
    Weights are cast to ``dtype`` ("auto" keeps their precision); no file of weights is larger than ``shard_bytes``,
    unless a single weight is. Raises :class:`StorageError` if the folder exists or cannot be written,
    :class:`InvalidSpecError` for an unknown dtype, and for any but "auto" with quantized weights.
    """
    quantized = is_quantized(loaded.model)
    if quantized and dtype != "auto":
        raise InvalidSpecError("Weights of eight bits have one number format; save them with dtype auto.")
    wanted = loaded.model.dtype if dtype == "auto" else choose_dtype(dtype, torch.device("cpu"))
    precision = str(wanted).removeprefix("torch.")
    sizes, loader = _sizes_of(loaded.model), str(auto_class([_family(loaded.model).__name__]).__name__)
    form: Form = "ragged" if any(sizes.values()) else "stock"
    with whole_folder(folder) as partial:
        with quiet_transformers():
            save_weights(loaded.model, partial, shard_bytes)
            _save_tokenizer(loaded.tokenizer, partial)
        if wanted != loaded.model.dtype:
            _cast_weights(partial, wanted)
        _write_sizes(partial, loaded.model, sizes, loader, precision)
        base = folder_of(loaded.id)
        notices = copy_notices(base, partial) if base is not None else []
        if result is not None:
            (partial / RESULT_FILE).write_text(as_json(result), encoding="utf-8")
            card = model_card(result, loader, trust=form == "ragged", quantized=quantized, notices=notices)
            (partial / CARD_FILE).write_text(card, encoding="utf-8")
    return Saved(folder, form, weight_bytes(folder), loader, "int8" if quantized else precision)


def _save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Call ``save_pretrained``, and leave out how the tokenizer was loaded here, which transformers writes too."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: value for name, value in config.items() if name not in ("is_local", "local_files_only")}
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _cast_weights(folder: Path, dtype: torch.dtype) -> None:
    """Cast the weight files one by one: only one shard is in memory, and a model in use is not changed."""
    total = 0
    for path in folder.glob("*.safetensors"):
        weights = {name: tensor.to(dtype) for name, tensor in load_file(path).items()}
        total += sum(tensor.nbytes for tensor in weights.values())
        save_file(weights, path, metadata={"format": "pt"})
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if index.exists():
        content = json.loads(index.read_text(encoding="utf-8"))
        content["metadata"]["total_size"] = total
        index.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def check_checkpoint(folder: Path) -> None:
    """Raise :class:`ModelNotFoundError` unless ``folder`` is a checkpoint of a run with undamaged weights."""
    if not all((folder / name).is_file() for name in ("config.json", CARD_FILE, RESULT_FILE)):
        raise ModelNotFoundError(
            f"{folder} is no checkpoint of a run; name a folder that `liar prune MODEL --save DIR` wrote."
        )
    names = {"model.safetensors"}
    try:
        index = folder / SAFE_WEIGHTS_INDEX_NAME
        if index.is_file():
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        for name in names:
            with safe_open(folder / name, framework="pt"):
                pass
    except (SafetensorError, OSError, ValueError, LookupError, AttributeError) as error:
        raise ModelNotFoundError(
            f"The weights in {folder} are missing or damaged; make the checkpoint again with `liar prune MODEL --save DIR`."
        ) from error


def _write_sizes(
    folder: Path, model: PreTrainedModel, sizes: Mapping[str, object], loader: str, precision: str
) -> None:
    """Edit the config that transformers wrote to fit the form; for a ragged one write the modelling file too."""
    family = _family(model)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in ("auto_map", "linears", "attributes"):
        config.pop(name, None)
    config |= {
        "model_type": family.config_class.model_type,
        "architectures": [family.__name__],
        "dtype": precision,
    }
    if any(sizes.values()):
        names = [family.config_class.__name__, family.__name__]
        ours = [f"Ragged{name}" for name in names]
        config |= {
            "model_type": ragged.PREFIX + family.config_class.model_type,
            "architectures": [ours[1]],
            "auto_map": {"AutoConfig": f"{MODELLING}.{ours[0]}", loader: f"{MODELLING}.{ours[1]}"},
            **sizes,
        }
        imports = "from torch import nn\n"
        source = inspect.getsource(ragged).replace(imports, f"{imports}from transformers import {', '.join(names)}\n")
        made = f"\n\n{', '.join(ours)} = ragged({', '.join(names)})\n"
        (folder / f"{MODELLING}.py").write_text(source + made, encoding="utf-8")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")

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
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from liar.errors import InvalidSpecError, ModelNotFoundError
from liar.files import whole_folder
from liar.loading.catalog import folder_of
from liar.loading.notices import copy_notices
from liar.loading.source import Source, read_config, weight_bytes
from liar.loading.weights import auto_class, explained, load_network, register_ragged
from liar.models import ragged
from liar.models.loaded import LoadedModel
from liar.models.quantize import is_quantized
from liar.models.self_check import check_saved
from liar.models.skeleton import Sizes, adds_bias, model_class, sizes_of
from liar.report.export import as_json
from liar.results import RunResult
from liar.runtime.memory import PlannedWork
from liar.runtime.offload import save_weights
from liar.runtime.placement import choose_dtype
from liar.runtime.quiet import quiet_transformers
from liar.save.as_llama import as_llama
from liar.save.model_card import model_card

Form = Literal["stock", "ragged"]

RESULT_FILE = "liar.json"
CARD_FILE = "README.md"
MODELLING = "modeling_liar"

SHARD_BYTES = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint in ``folder``; ``bytes`` is the size on disk of its weights, ``precision`` their number format as configs
    write it, such as ``float32``; ``int8`` if they are quantized. ``instead_of``: the class of a model saved as a LLaMA.
    ``encoder``: the class of sentence-transformers that loads it.
    """

    folder: Path
    form: Form
    bytes: int
    loader: str
    precision: str
    instead_of: str | None = None
    encoder: str | None = None

    @property
    def loading(self) -> str:
        """The call that loads it, without the libraries that it needs."""
        trust = ", trust_remote_code=True" if self.form == "ragged" else ""
        made = self.encoder or f"{self.loader}.from_pretrained"
        return f"{made}({str(self.folder)!r}{trust})"

    @property
    def sentence(self) -> str:
        """Sentence for the user: how the checkpoint loads, and why."""
        needs = " where torchao is installed" if self.precision == "int8" else ""
        if self.instead_of is not None:
            return (
                f"An ordinary checkpoint of a LLaMA: the config of a {self.instead_of} knows no bias, a LLaMA's does and "
                f"computes the same; {self.loading} loads it{needs}."
            )
        if self.form == "stock":
            return f"An ordinary checkpoint of its family: {self.loading} loads it{needs}."
        return (
            "Its layers have sizes that the family's config cannot name, so it brings a modelling file: "
            f"{self.loading} loads it{needs}."
        )


def save_model(
    loaded: LoadedModel,
    folder: Path,
    result: RunResult | None = None,
    *,
    dtype: str = "auto",
    shard_bytes: int = SHARD_BYTES,
) -> Saved:
    """Write weights, config, tokenizer and, of a ``result``, JSON and model card to a new ``folder``, all or nothing.

    Licence and notice files of the base model are copied (:mod:`liar.loading.notices`), and what sentence-transformers keeps
    beside the weights.
    Weights are cast to ``dtype`` ("auto" keeps their precision); no file of weights is larger than ``shard_bytes``,
    unless a single weight is. Raises :class:`StorageError` if the folder exists or cannot be written,
    :class:`InvalidSpecError` for an unknown dtype, and for any but "auto" with quantized weights, and :class:`LiarError` if the
    checkpoint is not the model in memory (:mod:`liar.models.self_check`).
    """
    quantized = is_quantized(loaded.model)
    if quantized and dtype != "auto":
        raise InvalidSpecError("Weights of eight bits have one number format; save them with dtype auto.")
    wanted = loaded.model.dtype if dtype == "auto" else choose_dtype(dtype, torch.device("cpu"))
    precision = str(wanted).removeprefix("torch.")
    model, sizes = loaded.model, sizes_of(loaded.model)
    loader = str(auto_class([model_class(model).__name__]).__name__)
    new_bias = adds_bias(loaded.adapter, sizes)
    if sizes.any and (llama := as_llama(model)) is not None:
        model, sizes = llama, Sizes()
    form: Form = "ragged" if sizes.any else "stock"
    encoder = encoder_of(loaded)
    with whole_folder(folder) as partial:
        with quiet_transformers():
            # Of a type of ours transformers knows no mapping of names.
            save_weights(model, partial, shard_bytes, as_published=form == "stock")
            save_tokenizer(loaded.tokenizer, partial)
        if wanted != loaded.model.dtype:
            _cast_weights(partial, wanted)
        _write_sizes(partial, model, sizes, loader, precision)
        _check(loaded, partial, folder)
        base = folder_of(loaded.id)
        notices = copy_notices(base, partial) if base is not None else []
        for name, content in loaded.beside.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        if result is not None:
            (partial / RESULT_FILE).write_text(as_json(result), encoding="utf-8")
            card = model_card(
                result,
                loader,
                trust=form == "ragged",
                quantized=quantized,
                notices=notices,
                adds_bias=new_bias,
                encoder=encoder,
            )
            (partial / CARD_FILE).write_text(card, encoding="utf-8")
    instead_of = None if model is loaded.model else type(loaded.model).__name__
    stored = "int8" if quantized else precision
    return Saved(folder, form, weight_bytes(folder), loader, stored, instead_of, encoder)


def encoder_of(loaded: LoadedModel) -> str | None:
    """The class of sentence-transformers that loads the checkpoint as well."""
    if loaded.embedder is not None:
        return "SentenceTransformer"
    return "CrossEncoder" if loaded.beside else None


def _check(loaded: LoadedModel, written: Path, folder: Path) -> None:
    """Read what was written, block by block from the disk; raises :class:`LiarError` if it is not the model in memory."""
    source = Source(str(written), local_only=True)
    register_ragged(str(read_config(source)["model_type"]))
    with quiet_transformers(), TemporaryDirectory() as scratch, explained(source):
        config = AutoConfig.from_pretrained(written)
        dtype, host = getattr(torch, str(config.dtype).removeprefix("torch.")), torch.device("cpu")
        streamed = Path(scratch) if loaded.adapter.streams and not is_quantized(loaded.model) else None
        again = load_network(source, config, dtype, host, streamed, PlannedWork(prunes=False))
        check_saved(loaded.adapter, again.eval(), folder)


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
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


def _write_sizes(folder: Path, model: PreTrainedModel, sizes: Sizes, loader: str, precision: str) -> None:
    """Edit the config that transformers wrote to fit the form; for a ragged one write the modelling file too."""
    family = model_class(model)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in ("auto_map", "linears", "attributes"):
        config.pop(name, None)
    config |= {
        "model_type": family.config_class.model_type,
        "architectures": [family.__name__],
        "dtype": precision,
    }
    if sizes.any:
        names = [family.config_class.__name__, family.__name__]
        ours = [f"Ragged{name}" for name in names]
        config |= {
            "model_type": ragged.PREFIX + family.config_class.model_type,
            "architectures": [ours[1]],
            "auto_map": {"AutoConfig": f"{MODELLING}.{ours[0]}", loader: f"{MODELLING}.{ours[1]}"},
            **sizes.as_dict(),
        }
        imports = "from torch import nn\n"
        source = inspect.getsource(ragged).replace(imports, f"{imports}from transformers import {', '.join(names)}\n")
        made = f"\n\n{', '.join(ours)} = ragged({', '.join(names)})\n"
        (folder / f"{MODELLING}.py").write_text(source + made, encoding="utf-8")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")

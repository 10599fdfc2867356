"""Side by side with other tools: SmolLM2 with the same share of its FFN neurons removed, nothing retrained.

All read the same calibration text and are measured on the same windows, in its domain and out of it. A tool that is
not installed is named below the table; ``pip install --requirement requirements-peers.txt`` installs all of them. FLAP
(arXiv 2312.11983), Wanda-sp (the structured baseline of that paper) and the recipe of GRAIL (a least-squares repair of
FLAP's masks) have no package on the index, and are choices of this library, with its ridge and its mean bias.

    python benchmarks/peers.py            prints the table (25 minutes on two cores)
    python benchmarks/peers.py --write    also puts it into the README, between its markers
    python benchmarks/peers.py --list     names the tools, and those that are not installed
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from liar.cli.startup import settle_threads

settle_threads()

import torch
from figures import finished_run
from pydantic import TypeAdapter
from readme import command_line, in_own_process, show, table
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from liar import LoadedModel, PruneSpec, load_model, save_model
from liar.data.corpora import text_steps
from liar.evaluate.prepared_task import evaluate
from liar.progress import finish
from liar.report.words.metric_sentences import sample, with_error
from liar.results import Evaluation
from liar.runtime.devices import Batch
from liar.statistics.compare import difference
from liar.tasks.demo import PERPLEXITY
from liar.tasks.registry import usual_tasks

SPEC = PruneSpec(model="demo/smollm2-135m", targets="ffn", evaluate=usual_tasks(PERPLEXITY.name))
RATIOS = (0.2, 0.5)
SEQUENCES = 4
"""Sequences of one backward pass, and of one batch of text that a tool reads."""

Tool = Callable[[PreTrainedModel, Sequence[Batch], float], None]
"""Removes a share of the FFN neurons of a model in place; it may read the batches, of equal length without padding."""


@dataclass(frozen=True)
class Peer:
    """``package``: None for choices of this library (``settings``)."""

    name: str
    package: str | None = None
    tool: Tool | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_installed(self) -> bool:
        return self.package is None or find_spec(self.package.replace("-", "_")) is not None


@dataclass(frozen=True)
class Measured:
    """``parameters`` is the share of all parameters that is left, ``loads`` whether plain transformers loads it unchanged."""

    parameters: float
    seconds: float
    loads: bool
    perplexities: list[Evaluation]


MEASURED = TypeAdapter(Measured)


def peaks(model: PreTrainedModel, batches: Sequence[Batch], ratio: float, *, with_activations: bool = False) -> None:
    from optipfair import prune_model_mlp_glu

    read = {"dataloader": list(batches)} if with_activations else {}
    prune_model_mlp_glu(model, "MAW", 100 * ratio, show_progress=False, **read)


def taylor(model: PreTrainedModel, batches: Sequence[Batch], ratio: float) -> None:
    """Torch-Pruning by the first-order change of the loss, the same share of every layer."""
    import torch_pruning

    mlps = [layer.mlp for layer in model.model.layers]
    widened = {id(linear) for mlp in mlps for linear in (mlp.gate_proj, mlp.up_proj)}
    others = [module for module in model.modules() if isinstance(module, nn.Linear) and id(module) not in widened]
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    pruner = torch_pruning.pruner.BasePruner(
        model,
        batches[0]["input_ids"][:1],
        importance=torch_pruning.importance.GroupTaylorImportance(),
        pruning_ratio=ratio,
        root_module_types=[nn.Linear],
        ignored_layers=[*others, model.get_input_embeddings()],
        output_transform=lambda output: output.logits,
    )
    for batch in batches:
        (model(**batch, labels=batch["input_ids"], use_cache=False).loss / len(batches)).backward()
    pruner.step()
    model.zero_grad()
    model.config.intermediate_size = mlps[0].gate_proj.out_features


DEFAULT = "default recipe"
ONE_SHOT = {"schedule": "one-shot"}
PEERS = (
    Peer("optipfair, weights", "optipfair", peaks),
    Peer("optipfair, weights and activations", "optipfair", partial(peaks, with_activations=True)),
    Peer("Torch-Pruning, Taylor", "torch-pruning", taylor),
    Peer("Wanda-sp", settings={"criterion": "wanda", "allocation": "uniform", "reconstruction": "none", **ONE_SHOT}),
    Peer("FLAP", settings={"criterion": "fluctuation", "allocation": "global", "reconstruction": "bias", **ONE_SHOT}),
    Peer("GRAIL on FLAP's masks", settings={"criterion": "fluctuation", "allocation": "global", **ONE_SHOT}),
    Peer("GRAIL on uniform masks", settings={"criterion": "fluctuation", "allocation": "uniform", **ONE_SHOT}),
    Peer("default recipe, uniform", settings={"allocation": "uniform"}),
    Peer(DEFAULT),
)


def main() -> int:
    parser = command_line(__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--peer", type=int, help=SUPPRESS)
    parser.add_argument("--ratio", type=float, help=SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(peer.name for peer in PEERS))
    print(missing(PEERS), end="", file=sys.stderr)  # before the long work
    if arguments.list:
        return 0
    if arguments.peer is not None:
        print(MEASURED.dump_json(measure(PEERS[arguments.peer], arguments.ratio)).decode())
        return 0
    show("peers", compare(), arguments.write)
    return 0


def missing(peers: Iterable[Peer]) -> str:
    """One sentence about the tools that are not installed, empty if all are."""
    packages = sorted({str(peer.package) for peer in peers if not peer.is_installed})
    if not packages:
        return ""
    names = " and ".join(packages)
    return f"Not measured, because not installed: {names}; `pip install --requirement requirements-peers.txt`.\n"


def compare() -> str:
    loaded = load_model(SPEC.model)
    dense, (_, _, text) = perplexities(loaded), finish(text_steps(SPEC, loaded))
    rows: list[tuple[str, ...]] = []
    for ratio in RATIOS:
        found = {peer.name: alone(place, ratio) for place, peer in enumerate(PEERS) if peer.is_installed}
        rows += [row(ratio, name, each, dense, found[DEFAULT]) for name, each in found.items()]
    values = ", ".join(f"{with_error(value)} {title}" for title, value in zip(TITLES, dense, strict=True))
    head = (
        f"{SPEC.model}, calibrated on {text.source}, {text.tokens:,} tokens; nothing is retrained. Dense: {values} "
        f"(n = {sample(dense[0])}, and {sample(dense[1])}). Wanda-sp, FLAP and GRAIL are choices of this library."
    )
    beside = f"beside the {DEFAULT}, ± the paired error"
    left = ("neurons removed", "tool", "parameters left")
    header = (*left, *TITLES, beside, "seconds", "loads in plain transformers")
    return "\n\n".join(part for part in (head, table(header, rows), missing(PEERS)) if part)


def row(ratio: float, name: str, found: Measured, dense: list[Evaluation], default: Measured) -> tuple[str, ...]:
    pairs = zip(found.perplexities, dense, strict=True)
    cells = [f"{with_error(value)} ({value.value / before.value:.2f} x)" for value, before in pairs]
    apart = map(difference, default.perplexities, found.perplexities)
    beside = ", ".join(f"{each.ratio:.2f} ± {each.ratio_stderr:.2f} x" for each in apart)
    left, loads = f"{found.parameters:.1%}", "yes" if found.loads else "no"
    return f"{ratio:.0%}", name, left, *cells, beside, f"{found.seconds:.0f} s", loads


TITLES = ("in domain", "out of domain")


def alone(place: int, ratio: float) -> Measured:
    line = in_own_process(__file__, "--peer", str(place), "--ratio", str(ratio))
    print(PEERS[place].name, f"{ratio:.0%}", file=sys.stderr, flush=True)
    return MEASURED.validate_json(line)


def measure(peer: Peer, ratio: float) -> Measured:
    """Prune, measure and reload; loading the dense model and reading text are not counted."""
    spec = PruneSpec.create(**{**SPEC.model_dump(), **peer.settings, "ratio": ratio, "evaluate": ()})
    loaded = load_model(spec.model)
    before = loaded.model.num_parameters()
    if peer.tool is None:
        loaded, result = finished_run(spec, loaded)
        seconds = sum(value for stage, value in result.timings.items() if stage not in ("load", "data"))
        save: Callable[[Path], object] = partial(save_model, loaded)
    else:
        batches = texts_of(spec, loaded)
        start = time.perf_counter()
        peer.tool(loaded.model, batches, ratio)
        seconds = time.perf_counter() - start
        save = loaded.model.save_pretrained
    loaded.model.eval()
    left = loaded.model.num_parameters() / before
    return Measured(left, seconds, loads_in_transformers(loaded, save), perplexities(loaded))


def texts_of(spec: PruneSpec, loaded: LoadedModel) -> list[Batch]:
    batches, _, _ = finish(text_steps(spec, loaded))
    return [
        {name: tensor[start : start + SEQUENCES] for name, tensor in batch.items()}
        for batch in batches
        for start in range(0, len(batch["input_ids"]), SEQUENCES)
    ]


def perplexities(loaded: LoadedModel) -> list[Evaluation]:
    return [evaluate(loaded, task, "reconstructed") for task in SPEC.evaluate]


@torch.no_grad()
def loads_in_transformers(loaded: LoadedModel, save: Callable[[Path], object]) -> bool:
    """Whether ``AutoModelForCausalLM`` loads what was saved, without code of its own, and answers the same."""
    ids = torch.arange(64).unsqueeze(0)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        try:
            save(folder)
            again = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, dtype=loaded.model.dtype)
        except Exception as error:  # whatever it is, a visitor of the result would meet it
            print(f"Not loaded: {str(error).splitlines()[0]}", file=sys.stderr)
            return False
        return torch.allclose(again(ids).logits, loaded.model(ids).logits, rtol=1e-3, atol=1e-3)


if __name__ == "__main__":
    sys.exit(main())

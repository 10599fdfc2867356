"""Attenuation of a language model by text that no repair has seen, beside that by the calibration text itself.

    python benchmarks/attenuation.py            prints the table (ten minutes on two cores)
    python benchmarks/attenuation.py --write    also puts it into docs/results/defaults.md, between its markers

The default recipe with half of SmolLM2's neurons removed, on validation windows, which no default is fitted to. Repairs do not
depend on the factor, and the logits are proportional to it, so one model answers for every factor.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from figures import SMOLLM2, finished_run
from parts.subjects import Gain
from readme import command_line, show, table
from torch import Tensor, no_grad
from torch.nn.functional import cross_entropy

from liar import LoadedModel, PruneSpec, load_model
from liar.data import corpora
from liar.data.packing import evaluation_length
from liar.evaluate.task_readers import Request, held_out_windows
from liar.spec import AUTO
from liar.tasks.demo import PERPLEXITY
from liar.tasks.texts import TEXTS

TOKENS = (1536, 3072, 4608, 6144)
"""One to four for each channel."""
GRID = [0.8 + 0.01 * step for step in range(21)]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    arguments = parser.parse_args()
    loaded = load_model(SMOLLM2)
    rows = [row(loaded, tokens) for tokens in arguments.tokens]
    columns = ("tokens", "by the calibration text", "by unseen text", "best", *(f"{text.id}, nats" for text in TEXTS))
    head = (
        "Half of SmolLM2's neurons, default recipe: factors of the last norm, and what the one by unseen text changes of the "
        "loss on 20 validation windows of each text, with the paired standard error. Best: least mean loss over the texts."
    )
    show("attenuation", f"{head}\n\n{table(columns, rows)}", arguments.write)


def row(loaded: LoadedModel, tokens: int) -> tuple[str, ...]:
    spec = PruneSpec(model=SMOLLM2, ratio=0.5, tokens=tokens)
    unseen = finished_run(spec, loaded)[1].attenuation
    with no_text_beside():
        model, result = finished_run(spec, loaded)
    own = result.attenuation
    assert own is not None
    assert unseen is not None
    losses = {
        text.id: losses_at(model, text.id, [unseen / own, 1.0, *(factor / own for factor in GRID)]) for text in TEXTS
    }
    means = [statistics.fmean(map(statistics.fmean, column)) for column in zip(*losses.values(), strict=True)]
    best = GRID[min(range(len(GRID)), key=lambda place: means[2 + place])]
    changes = (str(Gain.of_items(by_own, by_unseen)) for by_unseen, by_own, *_ in losses.values())
    print(tokens, own, unseen, best, flush=True)
    return f"{tokens:,}", f"{own:.3f}", f"{unseen:.3f}", f"{best:.2f}", *changes


@contextmanager
def no_text_beside() -> Iterator[None]:
    """Fit the attenuation to the calibration text, however short it is."""
    before, corpora.SCARCE = corpora.SCARCE, 0
    try:
        yield
    finally:
        corpora.SCARCE = before


@no_grad()
def losses_at(loaded: LoadedModel, text: str, factors: Sequence[float]) -> list[list[float]]:
    """Mean nats of each validation window of ``text``, with the logits multiplied by each of ``factors``."""
    length = evaluation_length(None, loaded, PERPLEXITY.length)
    windows, _ = held_out_windows(Request(loaded, PERPLEXITY, "validation", PERPLEXITY.count, text, length, AUTO))
    found: list[list[float]] = [[] for _ in factors]
    for ids in windows:
        logits: Tensor = loaded.model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0, :-1].float()
        for losses, factor in zip(found, factors, strict=True):
            losses.append(float(cross_entropy(logits * factor, ids[1:])))
    return found


if __name__ == "__main__":
    main()

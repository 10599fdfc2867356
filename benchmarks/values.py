"""Value channels beside whole heads: what it costs to remove as many parameters of the attentions by either.

python benchmarks/values.py           prints the table (about forty minutes on two cores)
python benchmarks/values.py --write   also puts it into docs/study/values.md, between its markers
"""

from __future__ import annotations

from collections import Counter

from figures import CLASSIFIERS, SMOLLM2, loaded, value_of, with_error
from parts.subjects import Gain, Subject
from readme import sections, table
from turned import turned

from liar import LoadedModel, PruneSpec, RunResult, run
from liar.data.corpora import text_steps
from liar.progress import finish
from liar.tasks.demo import PERPLEXITY

HEADS = (0.05, 0.1, 0.2, 0.3, 0.4)
"""Shares of the heads that go. Value channels hold half of an attention's parameters, so twice as many of them go."""

SUBJECTS = (
    Subject(SMOLLM2, PERPLEXITY.name, "heads"),
    *(Subject(model, task, "heads") for model, task in CLASSIFIERS if task in ("sentiment", "match")),
)


def section(subjects: tuple[Subject, ...], ratios: tuple[float, ...], **choices: object) -> str:
    """The table of ``subjects`` at ``ratios`` of their heads, by the default recipe but for ``choices``."""
    rows: list[tuple[str, ...]] = []
    signs = Counter[int]()
    for subject in subjects:
        dense = loaded(subject.model)
        spec = PruneSpec.create(model=subject.model, targets="heads", evaluate=(subject.task,), **choices)
        other = turned(dense, finish(text_steps(spec, dense))[0])
        for ratio in ratios:
            heads = run(spec.model_copy(update={"ratio": ratio}), dense)
            share = _parameters_gone(heads) / _in_units(other)
            values = run(spec.model_copy(update={"ratio": share}), other)
            before, after = (value_of(result, "reconstructed") for result in (heads, values))
            gained = Gain.of(before, after)
            signs[gained.sign] += 1
            gone = [_parameters_gone(each) / heads.totals.block_parameters_before for each in (heads, values)]
            shares = (f"{ratio:.0%}", f"{share:.0%}", *(f"{part:.1%}" for part in gone))
            cells = map(with_error, (value_of(heads, "dense"), before, after))
            rows.append((subject.name.partition(",")[0], *shares, *cells, subject.gain_words(gained)))
    head = (
        "Inside a key/value head any basis of the values is as good as another. In balanced coordinates "
        "(`benchmarks/turned.py`) single ones can go: the layer that writes the values and the one that reads them shrink, and "
        "no head is lost. Here beside whole heads, with as many parameters gone and the default recipe for both; ± is one "
        "standard error, of the gain the paired one, of a perplexity in nats."
    )
    shares = ("heads gone", "value channels gone", "of the blocks", "by values")
    columns = ("", *shares, "dense", "heads", "values", "gain")
    verdict = (
        f"Of {len(rows)} comparisons value channels are ahead in {signs[1]} by two paired standard errors or more, and behind "
        f"in {signs[-1]} by as much."
    )
    if signs[1] <= signs[-1]:
        verdict += " So they are no target of the library."
    return "\n\n".join([head, verdict, table(columns, rows)])


def _in_units(model: LoadedModel) -> int:
    """Parameters that belong to units of the attentions."""
    adapter = model.adapter
    return sum(site.bundles * adapter.bundle_parameters(site) for site in adapter.sites("heads"))


def _parameters_gone(result: RunResult) -> int:
    return result.totals.block_parameters_before - result.totals.block_parameters_after


if __name__ == "__main__":
    sections(__doc__, {"values": ("Value channels in place of heads", lambda: section(SUBJECTS, HEADS))})

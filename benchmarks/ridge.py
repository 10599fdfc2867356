"""Choice of the ridge: the error of a repair on tokens that its moments have not seen, over amounts of text.

    python benchmarks/ridge.py            prints the tables (about twenty minutes on two cores)
    python benchmarks/ridge.py --write    also puts them into docs/results/defaults.md, between its markers

Calibration text is drawn in two parts: moments of the first 1/2 to 8 tokens for each channel give the repair, moments of
the second part, 8 tokens for each channel, measure it. A ridge is c (d / tokens) C_jj for channel j; beside it 1 % of the
mean variance, the same for every channel and amount, and what the library chooses: c = 0.5, for a language model up to 2
where text is scarce.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import geometric_mean

from liar.cli.startup import settle_threads

settle_threads()

import torch
from readme import command_line, table, write
from torch import Tensor

from liar import LoadedModel, PruneSpec, load_model
from liar.calibration.activations import walk
from liar.data.corpora import text_steps
from liar.maths.channels import complement, members
from liar.maths.criteria import Evidence, order_of, score
from liar.maths.moments import Moments, SiteMoments
from liar.maths.solver import ridge_of
from liar.progress import finish
from liar.runtime.devices import Batch
from liar.sites import Site
from liar.spec import Targets

TOKENS = (1 / 2, 1, 2, 4, 8)
"""Tokens for each channel of the widest site."""
KEPT = (0.8, 0.5, 0.3)
"""Shares of the bundles kept, the best by fluctuation."""
CONSTANTS = (0.125, 0.25, 0.5, 1.0, 2.0)

MODELS: Mapping[str, Targets] = {
    "demo/smollm2-135m": "ffn",
    "demo/minilm-sentiment": "both",
    "demo/minilm-topic": "both",
}

Ridge = Callable[[Moments], Tensor]


def proportional(constant: float) -> Ridge:
    return lambda moments: moments.covariance.diagonal() * (constant * len(moments.mean) / moments.tokens)


def of_the_mean(moments: Moments) -> Tensor:
    variances = moments.covariance.diagonal()
    return torch.full_like(variances, 1e-2 * float(variances.mean()))


RIDGES: Mapping[str, Ridge] = {
    "1 % of the mean": of_the_mean,
    **{f"c = {c:g}": proportional(c) for c in CONSTANTS},
    "chosen": ridge_of,
}


def held_out_error(fit: Moments, unseen: Moments, weight: Tensor, kept: Tensor, ridge: Tensor) -> float:
    """E|Y'-Y|^2 / E|Y|^2 on the moments ``unseen`` of the least-squares repair by the moments ``fit``."""
    removed = complement(kept, len(weight))
    C, W = fit.covariance.double(), weight.double()
    C_uu = C[kept][:, kept] + ridge[kept].double().diag()
    Q = torch.linalg.solve(C_uu, C[kept][:, removed])
    D = torch.cat([Q @ W[removed], -W[removed]])
    channels = torch.cat([kept, removed])
    shift = (fit.mean[removed].double() - fit.mean[kept].double() @ Q) @ W[removed]
    mean = unseen.mean.double()
    spread = float((D * (unseen.covariance.double()[channels][:, channels] @ D)).sum())
    energy = float((W * (unseen.second.double() @ W)).sum())
    return (spread + float((mean[channels] @ D + shift).square().sum())) / energy


Errors = dict[tuple[float, str], list[tuple[float, float]]]
"""(plain, norm-aware) errors of every site and share, by amount of text and ridge."""


def moments_of(loaded: LoadedModel, batches: Sequence[Batch], targets: Targets) -> dict[Site, SiteMoments]:
    return {visit.site: visit.moments for visit in walk(loaded.adapter, batches, targets)}


@torch.no_grad()
def errors_of(loaded: LoadedModel, targets: Targets, seed: int, every: int) -> Errors:
    sites = loaded.adapter.sites(targets)[::every]
    most = max(site.channels for site in sites) * int(TOKENS[-1])
    batches, _, _ = finish(text_steps(PruneSpec(model=loaded.id, tokens=2 * most, seed=seed), loaded))
    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed)).tolist()
    shuffled = [batches[position] for position in order]
    unseen = moments_of(loaded, taken(shuffled[::-1], most), targets)
    found: Errors = {}
    for amount in TOKENS:
        fits = moments_of(loaded, taken(shuffled, round(most * amount / TOKENS[-1])), targets)
        for site in sites:
            weight = loaded.adapter.consumer(site).weight.T.detach()
            fit, new = fits[site].plain, unseen[site]
            assert new.norm_aware is not None
            best_first = order_of(score("fluctuation", Evidence(site, fit, weight)))
            for share in KEPT:
                kept = members(best_first[: max(1, round(share * site.bundles))], site.bundle_size).sort().values
                for name, ridge in RIDGES.items():
                    pair = [held_out_error(fit, seen, weight, kept, ridge(fit)) for seen in (new.plain, new.norm_aware)]
                    found.setdefault((amount, name), []).append((pair[0], pair[1]))
    return found


def taken(batches: Sequence[Batch], tokens: int) -> list[Batch]:
    """The first ``batches`` with at least so many ``tokens``, the last one cut to whole sequences."""
    chosen: list[Batch] = []
    for batch in batches:
        lengths = batch["attention_mask"].sum(dim=1).cumsum(0)
        rows = int((lengths < tokens).sum()) + 1
        chosen.append({name: tensor[:rows] for name, tensor in batch.items()})
        tokens -= int(lengths[min(rows, len(lengths)) - 1])
        if tokens <= 0:
            return chosen
    raise SystemExit("the text is too short")


def section(model: str, targets: Targets, seeds: int, every: int) -> str:
    """Geometric means over seeds, sites and shares, by amount of text and ridge."""
    loaded = load_model(model)
    found: Errors = {}
    for seed in range(seeds):
        for key, pairs in errors_of(loaded, targets, seed, every).items():
            found.setdefault(key, []).extend(pairs)
    rows = []
    for amount in TOKENS:
        cells = []
        for name in RIDGES:
            means = (
                geometric_mean(max(error, 1e-12) for error in each) for each in zip(*found[amount, name], strict=True)
            )
            cells.append(" / ".join(f"{mean:.4f}" for mean in means))
        rows.append((f"{amount:g}", *cells))
    return table(("tokens a channel", *RIDGES), rows)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--every", type=int, default=5, help="Every n-th site.")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=MODELS, metavar="MODEL")
    arguments = parser.parse_args()
    texts = []
    for model in arguments.only:
        texts.append(f"### {model}\n\n{section(model, MODELS[model], arguments.seeds, arguments.every)}")
        print(texts[-1], flush=True)
    if arguments.write:
        shares = ", ".join(f"{share:.0%}" for share in KEPT)
        head = (
            "## The ridge\n\nError of a least-squares repair on 8 tokens for each channel that its moments have not seen, "
            f"plain / norm-aware, as a geometric mean over {arguments.seeds} seeds, every {arguments.every}th site and "
            f"{shares} of the units kept. c stands for r_j = c (channels / tokens) C_jj; chosen is what the "
            "library takes."
        )
        write("ridge", "\n\n".join([head, *texts]))


if __name__ == "__main__":
    main()

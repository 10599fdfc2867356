"""The figures of each lesson: a function of the shelf for each, named as the lesson."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from statistics import fmean

from liar.choices import Criterion, Reconstruction
from liar.course.figures import Figures, Known, Shelf, evaluation_of, measured
from liar.explore.atlas import Floats, SiteAtlas, removed_at
from liar.explore.forecast import Forecast
from liar.results import RunResult
from liar.statistics.compare import difference, right_answers

SENTIMENT, TOPIC, SMOLLM2 = "demo/minilm-sentiment", "demo/minilm-topic", "demo/smollm2-135m"


def site_of(shelf: Shelf, model: str, name: str) -> SiteAtlas:
    found = shelf.atlas(model).site(name)
    assert found is not None, f"{model} has a site {name}"
    return found


def error_of(found: Forecast | RunResult, repair: Reconstruction, name: str | None = None) -> float:
    """Mean over the sites, or the error of the site ``name``."""
    return fmean(site.error[repair] for site in found.sites if name in (None, site.name))


def kept_of(found: Forecast | RunResult, name: str) -> int:
    return next(site.kept for site in found.sites if site.name == name)


def given_back(shelf: Shelf, model: str) -> Known:
    """Share of the mean error of the FFN sites that a bias recovers."""
    expected = shelf.expected(model, targets="ffn", allocation="uniform")
    return Known(1 - error_of(expected, "bias") / error_of(expected, "none"), "%")


def at(site: SiteAtlas, percent: int, repair: Reconstruction, criterion: Criterion = "kfac") -> float:
    """Error of a site without so many percent of its units."""
    return float(site.curve(criterion, repair)[percent])


def nats(site: SiteAtlas) -> Floats:
    """Divergence (bundles + 1,) that a site is predicted to add if its best k bundles stay, repaired."""
    return site.sensitivity * site.damage("kfac", "least-squares", "plain") / 2


def units(shelf: Shelf) -> Figures:
    facts, dense = shelf.atlas(TOPIC).facts, evaluation_of(shelf.ran(TOPIC), "dense")
    ratios = {"tenth": 0.1, "three": 0.3, "half": 0.5, "seven": 0.7, "nine": 0.9}
    assert dense.majority is not None
    chance = sqrt(dense.majority * (1 - dense.majority) / dense.n)
    return {
        "neurons": Known(facts.kinds["ffn"].units * facts.model.layers),
        "heads": Known(facts.kinds["attention"].units * facts.model.layers),
        "layer_neurons": Known(facts.kinds["ffn"].units),
        "layer_heads": Known(facts.kinds["attention"].units),
        "head_channels": Known(facts.kinds["attention"].unit_size),
        "width": Known(facts.kinds["ffn"].outputs),
        "texts": Known(dense.n),
        "dense": measured(shelf.ran(TOPIC), "dense"),
        "commoner": Known(dense.majority, "%", 0, chance, is_exact=False),
        **{name: measured(shelf.ran(TOPIC, ratio=ratio), "pruned") for name, ratio in ratios.items()},
    }


def weights(shelf: Shelf) -> Figures:
    first = site_of(shelf, SENTIMENT, "layers.0.attention")
    choices = first.errors_of_choices("none", 6)
    run, nine = shelf.ran(TOPIC), evaluation_of(shelf.ran(TOPIC, ratio=0.9), "pruned").value
    dense, half = (evaluation_of(run, variant).value for variant in ("dense", "pruned"))
    return {
        "choices": Known(len(choices)),
        "best_choice": Known(float(choices.min()), digits=2),
        "worst_choice": Known(float(choices.max()), digits=2),
        "by_lot": Known(float(choices.mean()), digits=2),
        "magnitude": Known(at(first, 50, "none", "magnitude"), digits=2),
        "wanda": Known(at(first, 50, "none", "wanda"), digits=2),
        "heads": Known(shelf.atlas(SENTIMENT).facts.kinds["attention"].units),
        "first_half": Known(dense - half, "points", 1, is_exact=False),
        "second_half": Known(half - nine, "points", 1, is_exact=False),
    }


def correlation(shelf: Shelf) -> Figures:
    last, fourth = (site_of(shelf, SENTIMENT, f"layers.{layer}.attention") for layer in (5, 3))
    other = site_of(shelf, SMOLLM2, "layers.12.ffn")
    return {
        "matrix": Known(last.arrays.correlation.tolist(), digits=2),
        "channels": Known(len(last.arrays.sample)),
        "closest": Known(last.closest, digits=2),
        "none": Known(at(last, 50, "none"), digits=2),
        "repaired": Known(at(last, 50, "least-squares"), digits=2),
        "back": Known(1 - at(last, 50, "least-squares") / at(last, 50, "none"), "%"),
        "other_none": Known(at(other, 50, "none"), digits=2),
        "other_repaired": Known(at(other, 50, "least-squares"), digits=2),
        "other_closest": Known(other.closest, digits=2),
        "other_back": Known(1 - at(other, 50, "least-squares") / at(other, 50, "none"), "%"),
        "magnitude": Known(at(fourth, 50, "none", "magnitude"), digits=2),
        "wanda": Known(at(fourth, 50, "none", "wanda"), digits=2),
    }


def mean(shelf: Shelf) -> Figures:
    bert = shelf.expected(SENTIMENT, targets="ffn", allocation="uniform")
    last_none, last_bias = (error_of(bert, repair, "layers.5.ffn") for repair in ("none", "bias"))
    pair = site_of(shelf, SENTIMENT, "layers.4.attention")
    return {
        "bert_back": given_back(shelf, SENTIMENT),
        "llama_back": given_back(shelf, SMOLLM2),
        "last_none": Known(last_none, digits=3),
        "last_bias": Known(last_bias, digits=3),
        "last_back": Known(1 - last_bias / last_none, "%"),
        "pair_none": Known(at(pair, 50, "none"), digits=2),
        "pair_all": Known(at(pair, 50, "least-squares"), digits=2),
        "pair_lost": Known(at(pair, 50, "none") - at(pair, 50, "least-squares"), digits=2),
    }


def repair(shelf: Shelf) -> Figures:
    kinds = shelf.atlas(SENTIMENT).facts.kinds
    ffn, attention = (site_of(shelf, SENTIMENT, f"layers.5.{kind}") for kind in ("ffn", "attention"))
    neurons, channels, outputs = (
        kinds["ffn"].units / 2,
        kinds["attention"].units * kinds["attention"].unit_size / 2,
        kinds["ffn"].outputs,
    )
    return {
        "bert_back": given_back(shelf, TOPIC),
        "llama_back": given_back(shelf, SMOLLM2),
        "outputs": Known(outputs),
        "kept_neurons": Known(neurons),
        "kept_channels": Known(channels),
        "ffn_sizes": Known([neurons, neurons, outputs]),
        "attention_sizes": Known([channels, channels, outputs]),
        "attention_liar": Known(at(attention, 50, "liar"), digits=2),
        "attention_exact": Known(at(attention, 50, "least-squares"), digits=2),
        "attention_none": Known(at(attention, 50, "none"), digits=2),
        "ffn_ratio": Known(at(ffn, 50, "liar") / at(ffn, 50, "least-squares"), "x", 2),
        "attention_ratio": Known(at(attention, 50, "liar") / at(attention, 50, "least-squares"), "x", 2),
    }


def curves(shelf: Shelf) -> Figures:
    middle, second = site_of(shelf, SMOLLM2, "layers.12.ffn"), site_of(shelf, SENTIMENT, "layers.1.ffn")
    repaired = middle.curve("kfac", "least-squares").tolist()
    return {
        "none": Known(middle.curve("kfac", "none").tolist(), digits=2),
        "repaired": Known(repaired, digits=2),
        "at_three": Known(repaired[30], digits=2),
        "at_six": Known(repaired[60], digits=2),
        "at_nine": Known(repaired[90], digits=2),
        "cuts": Known([[percent / 100, repaired[percent]] for percent in (30, 60, 90)], digits=2),
        "few": Known(at(second, 90, "liar") / at(second, 90, "least-squares"), "x", 2),
        "many": Known(at(second, 50, "liar") / at(second, 50, "least-squares"), "x", 2),
    }


def where(shelf: Shelf) -> Figures:
    early, fifth, late, steep = (site_of(shelf, SMOLLM2, f"layers.{layer}.ffn") for layer in (0, 5, 17, 20))
    uniform, chosen = shelf.expected(SMOLLM2, allocation="uniform"), shelf.expected(SMOLLM2)
    weighted: Figures = {}
    for name, site in (("early", early), ("fifth", fifth), ("late", late)):
        at_ratios = site.site.units - removed_at(site.site.units)
        weighted[f"{name}_nats"] = Known(nats(site)[at_ratios].tolist(), digits=3)
        weighted[f"{name}_gone"] = Known(1 - kept_of(chosen, site.site.name) / site.site.units, "%")
    neurons, kept = early.site.units, [site.kept for site in chosen.sites]
    first, fewest = kept_of(chosen, "layers.0.ffn"), min(kept)
    return {
        **weighted,
        "times": Known(float(nats(early)[768] / nats(late)[768]), "x"),
        "half_errors": Known([site.error["least-squares"] for site in uniform.sites], digits=2),
        "massive": Known(error_of(uniform, "least-squares", "layers.11.ffn"), digits=5),
        "middle": Known(error_of(uniform, "least-squares", "layers.12.ffn"), digits=2),
        "units": Known(neurons),
        "kept": Known(kept),
        "first_share": Known(first / neurons, "%"),
        "fewest_share": Known(fewest / neurons, "%"),
        "early_rise": Known(at(steep, 10, "least-squares"), digits=2),
        "late_rise": Known(at(steep, 90, "least-squares") - at(steep, 80, "least-squares"), digits=2),
    }


def total(shelf: Shelf) -> Figures:
    found: Figures = {}
    for name, allocation in (("uniform", "uniform"), ("error", "error-curve"), ("loss", "loss-curve")):
        expected = shelf.expected(SMOLLM2, allocation=allocation)
        found[f"{name}_error"] = Known(error_of(expected, "least-squares"), digits=3)
        found[f"{name}_parts"] = Known(
            [float(nats(site_of(shelf, SMOLLM2, site.name))[site.kept]) for site in expected.sites], digits=2
        )
        found[f"{name}_measured"] = measured(shelf.ran(SMOLLM2, allocation=allocation), "reconstructed", "", 1)
    chosen = shelf.expected(SMOLLM2)
    return {
        **found,
        "one_shot": Known(error_of(shelf.expected(SENTIMENT), "least-squares"), digits=3),
        "in_order": Known(error_of(shelf.ran(SENTIMENT), "least-squares"), digits=3, is_exact=False),
        "uniform_first": Known(found["uniform_parts"].value[0], digits=2),
        "loss_first": Known(found["loss_parts"].value[0], digits=2),
        "first": Known(kept_of(chosen, "layers.0.ffn")),
        "middle": Known(kept_of(chosen, "layers.17.ffn")),
    }


def hidden(shelf: Shelf) -> Figures:
    run, language = shelf.ran(SENTIMENT), shelf.ran(SMOLLM2)
    before, after = (right_answers(evaluation_of(run, variant)) for variant in ("dense", "reconstructed"))
    assert before is not None
    assert after is not None
    pairs = list(zip(before, after, strict=True))
    times, errors = {}, {}
    for name, task in (("wiki_times", "perplexity"), ("other_times", "out-of-domain")):
        found = difference(evaluation_of(language, "dense", task), evaluation_of(language, "reconstructed", task))
        times[name] = Known(found.ratio, "x", 2, found.ratio_stderr, is_exact=False)
    for name, allocation in (("error_error", "error-curve"), ("loss_error", "loss-curve")):
        expected = shelf.expected(SENTIMENT, allocation=allocation)
        errors[name] = Known(error_of(expected, "least-squares"), digits=3)
    return {
        "items": Known(len(pairs)),
        "dense": measured(run, "dense"),
        "repaired": measured(run, "reconstructed"),
        "broken": Known(pairs.count((True, False)), is_exact=False),
        "mended": Known(pairs.count((False, True)), is_exact=False),
        **times,
        "faster": Known(language.gains[0].gain.median, "x", 2, is_exact=False),
        "size": Known(language.totals.blocks_removed, "%"),
        **errors,
    }


FIGURES: Mapping[str, Callable[[Shelf], Figures]] = {
    "sum": total,
    **{each.__name__: each for each in (units, weights, correlation, mean, repair, curves, where, hidden)},
}
"""By the name of the lesson."""

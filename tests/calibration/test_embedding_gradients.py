"""The Gauss-Newton of an embedder's unit vectors against explicit Jacobians."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from liar.calibration import output_gradients
from liar.calibration.gradients import gradient_steps
from liar.errors import InvalidSpecError
from liar.models.adapter import Adapter
from liar.models.embedder import POOLINGS, Embedder, Pooling
from liar.models.families import adapt
from liar.runtime.devices import Batch
from liar.sites import Site
from liar.spec import Needs
from tests.families import batches, build, gradients

NEEDS = Needs(outputs=True, sensitivity=True)
SIGNS = 64
"""Signs of a vector, at least as many as it has dimensions: a bare family is 32 or 48 wide."""


def bare(family: str) -> Adapter:
    return adapt(build(family).base_model)


def embedder(pooling: Pooling = "mean", *, dense: int | None = None) -> Embedder:
    torch.manual_seed(7)
    layers = [] if dense is None else [nn.Linear(dense, 24).double(), nn.Tanh()]
    return Embedder(pooling, nn.Sequential(*layers).requires_grad_(False))


def hadamard(size: int) -> Tensor:
    """Rows of signs that are orthogonal: the mean of their outer products is the identity, as that of random signs is."""
    rows = torch.ones(1, 1, dtype=torch.double)
    while len(rows) < size:
        rows = torch.cat([torch.cat([rows, rows], 1), torch.cat([rows, -rows], 1)])
    return rows


def jacobian(adapter: Adapter, site: Site, batch: Batch, made: Embedder) -> Tensor:
    """Of the unit vectors at the site's outputs: (texts x dimensions, texts, length, d_out)."""
    outputs: list[Tensor] = []
    handle = adapter.consumer(site).register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    states = adapter.model(**batch).last_hidden_state
    handle.remove()
    vectors = made.vectors(states, batch["attention_mask"]).flatten()
    (found,) = torch.autograd.grad(
        vectors, outputs[0], torch.eye(len(vectors), dtype=vectors.dtype), is_grads_batched=True
    )
    return found


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize(("pooling", "dense"), [*((name, False) for name in POOLINGS), ("mean", True)])
def test_the_mean_over_orthogonal_signs_is_the_explicit_gauss_newton(
    family: str, pooling: Pooling, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = bare(family)
    made = embedder(pooling, dense=adapter.config.hidden_size if dense else None)
    (batch,) = batches(1, size=2, length=9, padded=True)
    total: dict[str, tuple[float, Tensor]] = {}
    for signs in hadamard(SIGNS):
        drawn = partial(torch.narrow, signs, 0, 0)
        monkeypatch.setattr(
            output_gradients, "_signs", lambda like, _, d=drawn: d(like.shape[-1]).to(like).expand_as(like)
        )
        found = gradients(gradient_steps(adapter, [batch], "both", NEEDS, made))
        for name, each in found.items():
            trace, metric = total.get(name, (0.0, torch.zeros(())))
            total[name] = trace + each.sensitivity / SIGNS, metric + each.outputs / SIGNS
    tokens = int(batch["attention_mask"].sum())
    for site in adapter.sites():
        rows = jacobian(adapter, site, batch, made).flatten(0, 2)
        wanted = rows.T @ rows / tokens
        trace, metric = total[site.name]
        torch.testing.assert_close(metric, wanted, check_dtype=False, rtol=1e-4, atol=1e-9)
        assert trace == pytest.approx(float(wanted.trace()), rel=1e-4)


def test_sensitivity_predicts_the_cosine_of_a_small_error() -> None:
    """|z' - z|^2 = 2 (1 - cosine) of a random error is, to second order, its variance times the sum of the sensitivities."""
    adapter, made = bare("bert"), embedder()
    (batch,) = batches(1, size=2, length=9)
    site = adapter.sites()[0]
    sensitivity = float(jacobian(adapter, site, batch, made).square().sum()) / batch["input_ids"].numel()
    torch.manual_seed(0)
    size, moved = 1e-4, []
    adapter.model.requires_grad_(False)
    dense = made.vectors(adapter.model(**batch).last_hidden_state, batch["attention_mask"])
    for _ in range(100):  # the standard error is about 6 %
        handle = adapter.consumer(site).register_forward_hook(
            lambda _module, _inputs, output: output + size * torch.randn_like(output)
        )
        vectors = made.vectors(adapter.model(**batch).last_hidden_state, batch["attention_mask"])
        handle.remove()
        moved.append(float((vectors - dense).square().sum()))
    tokens = batch["input_ids"].numel()
    assert sum(moved) / len(moved) == pytest.approx(size**2 * sensitivity * tokens, rel=0.2)


def test_masks_have_the_slope_of_the_similarity_to_the_next_text() -> None:
    adapter, made = bare("bert"), embedder()
    (batch,) = batches(1, size=2, length=9)
    found = gradients(gradient_steps(adapter, [batch], "ffn", Needs(masks=True, sensitivity=False), made))
    site = adapter.sites("ffn")[1]
    consumer, step = adapter.consumer(site), 1e-5
    weight = consumer.weight.data.clone()

    def vectors() -> Tensor:
        with torch.no_grad():
            return made.vectors(adapter.model(**batch).last_hidden_state, batch["attention_mask"])

    dense = vectors()
    for unit in range(3):
        moved: list[Tensor] = []
        for sign in (1, -1):
            consumer.weight.data[:, unit] = weight[:, unit] * (1 + sign * step)
            moved.append((vectors() * dense.roll(-1, 0)).sum(dim=1))
        consumer.weight.data.copy_(weight)
        slopes = (moved[0] - moved[1]) / (2 * step)
        assert float(found[site.name].fisher[unit]) == pytest.approx(float(slopes.square().mean()), rel=2e-2, abs=1e-9)


def test_a_vector_that_no_site_moves_is_an_error() -> None:
    adapter = bare("bert")
    dense = nn.Linear(adapter.config.hidden_size, 4).double()
    dense.weight.data.zero_()
    steps = gradient_steps(adapter, batches(1), "both", NEEDS, Embedder("mean", nn.Sequential(dense)))
    with pytest.raises(InvalidSpecError, match="No gradient"):
        gradients(steps)

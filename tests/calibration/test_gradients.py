"""Mask gradients and sensitivities against finite differences and explicit Jacobians."""

from __future__ import annotations

from functools import partial
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertForQuestionAnswering, PreTrainedModel

from liar.calibration import gradients as passes
from liar.calibration.gradients import gradient_steps
from liar.errors import InvalidSpecError
from liar.models.adapter import Adapter
from liar.models.families import adapt
from liar.runtime.devices import Batch
from liar.sites import Site
from liar.spec import Needs
from tests.families import batches, build, gradients

BOTH = Needs(masks=True, sensitivity=True)


def headed(name: str) -> PreTrainedModel:
    """A family, or a BERT with a head of that problem."""
    model = build("bert" if name in ("regression", "two-class", "multi-label", "span") else name)
    if name == "span":
        return marking(model)
    if name in ("regression", "two-class"):
        torch.manual_seed(3)
        model.config.num_labels = 1 if name == "regression" else 2
        model.classifier = nn.Linear(32, model.config.num_labels).double()
    elif name == "multi-label":
        model.config.problem_type = "multi_label_classification"
    return model


def marking(bert: PreTrainedModel) -> BertForQuestionAnswering:
    """The same encoder with a head that marks an answer."""
    torch.manual_seed(3)
    bert.config.num_labels = 2
    model = BertForQuestionAnswering(bert.config).double().eval()
    model.bert.load_state_dict(bert.bert.state_dict(), strict=False)
    nn.init.normal_(model.qa_outputs.weight, std=0.5)
    return model


def forward(adapter: Adapter, site: Site, batch: Batch) -> tuple[Any, Tensor]:
    """The output of the model, and that of the site's consumer in the same graph."""
    outputs: list[Tensor] = []
    handle = adapter.consumer(site).register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    output = adapter.model(**batch)
    handle.remove()
    return output, outputs[0]


LABELS = {
    "bert": {"labels": torch.tensor([0, 2])},
    "regression": {"labels": torch.tensor([0.4, -2.0])},
    "multi-label": {"labels": torch.tensor([1, 2])},
    "span": {"start_positions": torch.tensor([4, 0]), "end_positions": torch.tensor([6, 19])},
}


def losses(name: str, model: PreTrainedModel, batch: Batch, labels: Batch) -> Tensor:
    """The loss of each sequence in PyTorch, by ``labels`` or else by what the model itself predicts."""
    output = model(**batch)
    loss = partial(nn.functional.cross_entropy, reduction="none")
    if name == "span":
        marks = labels.values() or (each.argmax(dim=1) for each in (output.start_logits, output.end_logits))
        both = zip((output.start_logits, output.end_logits), marks, strict=True)
        return sum(loss(found, mark) for found, mark in both) / 2
    if name == "llama":
        return loss(output.logits[:, :-1].transpose(1, 2), batch["input_ids"][:, 1:]).mean(dim=1)
    if name == "bert":
        return loss(output.logits, labels.get("labels", output.logits.argmax(dim=-1)))
    if name == "regression":
        return (output.logits[:, 0] - labels["labels"]).square() if labels else output.logits[:, 0]
    hold = nn.functional.one_hot(labels["labels"], 3) if labels else output.logits > 0
    return nn.functional.binary_cross_entropy_with_logits(output.logits, hold.double(), reduction="none").mean(dim=1)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", ["llama", "bert", "regression", "multi-label", "span"])
def test_mask_gradients_are_those_of_the_loss(name: str, labelled: bool) -> None:
    """A mask scales the columns of its bundle, so its gradient is the sum of those of the columns times themselves."""
    model = headed(name)
    adapter, batch = adapt(model), batches(1, size=2)[0]
    labels = LABELS.get(name, {}) if labelled else {}
    found = gradients(gradient_steps(adapter, [{**batch, **labels}], "both", BOTH))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())
    by_sequence: dict[Site, list[Tensor]] = {site: [] for site in adapter.sites()}
    for loss in losses(name, model, batch, labels):
        model.zero_grad()
        loss.backward(retain_graph=True)
        for site, rows in by_sequence.items():
            weight = adapter.consumer(site).weight
            rows.append((weight.grad * weight.detach()).sum(dim=0).view(site.bundles, -1).sum(dim=1))
    for site, rows in by_sequence.items():
        expected = torch.stack(rows)
        torch.testing.assert_close(found[site.name].taylor, expected.mean(dim=0).abs(), rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(found[site.name].fisher, expected.square().mean(dim=0), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("labelled", [True, False])
def test_padding_changes_nothing_for_answers(labelled: bool) -> None:
    adapter = adapt(headed("span"))
    whole = batches(1, size=2)[0]
    padded = {name: nn.functional.pad(tensor, (0, 9)) for name, tensor in whole.items()}
    marks = {"start_positions": torch.tensor([3, 0]), "end_positions": torch.tensor([19, 7])} if labelled else {}
    with_padding, without = (
        gradients(gradient_steps(adapter, [{**batch, **marks}], "both", BOTH)) for batch in (padded, whole)
    )
    for site, expected in without.items():
        torch.testing.assert_close(with_padding[site].taylor, expected.taylor)
        torch.testing.assert_close(with_padding[site].fisher, expected.fisher)
        assert with_padding[site].sensitivity == pytest.approx(expected.sensitivity)


@pytest.mark.parametrize("name", ["llama", "bert", "regression", "multi-label", "span"])
def test_sensitivities_are_the_traces_of_the_gauss_newton_matrix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sequence draws other signs; their mean comes near what all rows of F^(1/2) J by themselves add up to."""
    model = headed(name)
    adapter = adapt(model)
    batch = batches(1, size=1)[0]
    repeated = {name: tensor.repeat(400, 1) for name, tensor in batch.items()}
    monkeypatch.setattr(passes, "sensitivity_tokens", lambda _widest, tokens: tokens)
    monkeypatch.setattr(passes, "BACKWARD_SEQUENCES", 40)
    found = gradients(gradient_steps(adapter, [repeated], "both", Needs(sensitivity=True)))
    site = adapter.sites()[1]
    output, of_the_site = forward(adapter, site, batch)
    logits = torch.cat([output.start_logits, output.end_logits]) if name == "span" else output.logits[0]
    if name == "llama":
        p = logits[:-1].softmax(-1).detach()
        rows = p.sqrt() * (logits[:-1] - (p * logits[:-1]).sum(-1, keepdim=True)) / len(p) ** 0.5
    elif name == "span":
        rows = (logits - logits.mean(dim=-1, keepdim=True)) / 2**0.5
    else:
        rows = logits - logits.mean() if name == "bert" else logits
    each = torch.eye(rows.numel(), dtype=rows.dtype)
    (jacobian,) = torch.autograd.grad(rows.flatten(), of_the_site, each, is_grads_batched=True)
    assert found[site.name].sensitivity == pytest.approx(float(jacobian.square().sum(dim=(0, -1)).mean()), rel=0.1)


@pytest.mark.parametrize("name", ["llama", "bert", "regression", "multi-label", "span"])
def test_second_moments_of_outputs_have_the_sensitivities_as_traces(name: str) -> None:
    adapter, text = adapt(headed(name)), batches(3, padded=True)
    found = gradients(gradient_steps(adapter, text, "both", Needs(outputs=True, sensitivity=True)))
    alone = gradients(gradient_steps(adapter, text, "both", Needs(outputs=True)))
    plain = gradients(gradient_steps(adapter, text, "both", Needs(sensitivity=True)))
    for site in adapter.sites():
        moment = found[site.name].outputs
        width = adapter.consumer(site).out_features
        assert moment.shape == (width, width)
        assert float(moment.trace()) == pytest.approx(found[site.name].sensitivity)
        torch.testing.assert_close(moment, moment.T)
        assert torch.linalg.eigvalsh(moment.double()).min() >= -1e-6 * float(moment.trace())
        assert torch.equal(moment, alone[site.name].outputs)
        assert plain[site.name].outputs is None
        assert plain[site.name].sensitivity == found[site.name].sensitivity


@pytest.mark.parametrize("wanted", ["masks", "sensitivity", "outputs"])
def test_a_loss_that_feels_no_site_is_an_error(wanted: str) -> None:
    """Else every site would look alike to an allocation."""
    model = headed("regression")
    model.classifier.weight.data.zero_()
    steps = gradient_steps(adapt(model), batches(1), "both", Needs(**{wanted: True}))
    with pytest.raises(InvalidSpecError, match=r"No gradient .* choose the criterion fluctuation"):
        gradients(steps)


def lengths_read(adapter: Adapter, text: list[Batch], **wanted: bool) -> list[int]:
    """Tokens of each sequence that the backward passes read, in their order."""
    read: list[int] = []

    def note(_module: nn.Module, _arguments: object, named: dict[str, Tensor]) -> None:
        read.extend(named["attention_mask"].sum(dim=1).tolist())

    handle = adapter.base.register_forward_pre_hook(note, with_kwargs=True)
    gradients(gradient_steps(adapter, text, "both", Needs(**wanted)))
    handle.remove()
    return read


def test_sensitivities_read_texts_of_all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier's batches come sorted, the shortest first; a sample of their tokens must look like all of them."""
    adapter = adapt(build("bert"))
    monkeypatch.setattr(passes, "sensitivity_tokens", lambda _widest, _tokens: 470)
    text = [batch for length in range(4, 44) for batch in batches(1, size=2, length=length, seed=length)]
    read = lengths_read(adapter, text, sensitivity=True)
    assert 0.25 <= sum(read) / sum(2 * length for length in range(4, 44)) <= 0.3
    assert abs(fmean(read) - fmean(range(4, 44))) < 5  # the standard error of ten pairs is 3.2
    assert read == lengths_read(adapter, text, sensitivity=True)
    assert sorted(lengths_read(adapter, text, masks=True, sensitivity=True)) == sorted(2 * list(range(4, 44)))


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_sensitivities_are_the_same_beside_mask_gradients(name: str) -> None:
    adapter, text = adapt(build(name)), batches(3)
    alone = gradients(gradient_steps(adapter, text, "both", Needs(sensitivity=True)))
    both = gradients(gradient_steps(adapter, text, "both", BOTH))
    for site, found in alone.items():
        assert found.sensitivity > 0
        assert both[site].sensitivity == pytest.approx(found.sensitivity)
        assert both[site].fisher.sum() > 0


def test_two_classes_leave_nothing_to_chance() -> None:
    """One text gives the sensitivity and the metric of the explicit Jacobian of the two logits' difference."""
    adapter, batch = adapt(headed("two-class")), batches(1, size=1)[0]
    found = gradients(gradient_steps(adapter, [batch], "both", Needs(outputs=True, sensitivity=True)))
    for site in adapter.sites():
        output, of_the_site = forward(adapter, site, batch)
        (rows,) = torch.autograd.grad((output.logits[0, 0] - output.logits[0, 1]) / 2**0.5, of_the_site)
        metric = rows[0].T @ rows[0] / rows.shape[1]
        torch.testing.assert_close(found[site.name].outputs, metric, check_dtype=False, rtol=1e-4, atol=1e-7)
        assert found[site.name].sensitivity == pytest.approx(float(metric.trace()), rel=1e-5)


@pytest.mark.parametrize("name", ["llama", "bert", "span"])
def test_the_signs_of_a_piece_depend_on_its_number_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the processes that share a text find between them what one alone does."""
    adapter, text = adapt(headed(name)), batches(4, size=2)
    monkeypatch.setattr(passes, "sensitivity_tokens", lambda _widest, tokens: tokens)
    whole = gradients(gradient_steps(adapter, text, "both", Needs(sensitivity=True)))
    halves = []
    for process in range(2):
        monkeypatch.setattr(passes, "is_own", lambda piece, process=process: piece % 2 == process)
        halves.append(gradients(gradient_steps(adapter, text, "both", Needs(sensitivity=True))))
    for site, expected in whole.items():
        assert fmean(half[site].sensitivity for half in halves) == pytest.approx(expected.sensitivity)

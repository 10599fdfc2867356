"""Mask gradients and sensitivities against finite differences and explicit Jacobians."""

from __future__ import annotations

import copy
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertForQuestionAnswering, PreTrainedModel

from liar.calibration import gradients as passes
from liar.calibration.gradients import gradient_steps
from liar.calibration.needs import Needs
from liar.errors import InvalidSpecError
from liar.models.adapter import Adapter
from liar.models.families import adapt
from liar.runtime.devices import Batch
from liar.sites import Site
from tests.families import batches, build, gradients, logits

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
    "bert": torch.tensor([0, 2]),
    "regression": torch.tensor([0.4, -2.0]),
    "multi-label": torch.tensor([1, 2]),
}


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", ["llama", "bert", "regression", "multi-label"])
def test_mask_gradients_are_those_of_a_finite_difference(name: str, labelled: bool) -> None:
    model = headed(name)
    adapter = adapt(model)
    data = batches(1, size=2)
    dense = logits(model, data[0])
    labels = LABELS.get(name) if labelled else None
    if labels is not None:
        data = [{**data[0], "labels": labels}]
    scores = gradients(gradient_steps(adapter, data, "both", BOTH))
    site = adapter.sites()[2]
    bundle, step = 1, 1e-3  # RMS norms compute in fp32 whatever the model does
    columns = slice(bundle * site.bundle_size, (bundle + 1) * site.bundle_size)

    def losses(scale: float) -> Tensor:
        changed = copy.deepcopy(model)
        with torch.no_grad():
            adapt(changed).consumer(site).weight[:, columns] *= scale
            output = changed(input_ids=data[0]["input_ids"], attention_mask=data[0]["attention_mask"]).logits
            if name == "bert":
                classes = dense.argmax(dim=-1) if labels is None else labels
                return nn.functional.cross_entropy(output, classes, reduction="none")
            if name == "regression":
                return output[:, 0] if labels is None else (output[:, 0] - labels).square()
            if name == "multi-label":
                hold = (dense > 0).double() if labels is None else nn.functional.one_hot(labels, 3).double()
                return nn.functional.binary_cross_entropy_with_logits(output, hold, reduction="none").mean(1)
            targets = data[0]["input_ids"][:, 1:]
            return nn.functional.cross_entropy(output[:, :-1].transpose(1, 2), targets, reduction="none").mean(1)

    slope = (losses(1 + step) - losses(1 - step)) / (2 * step)
    found = scores[site.name]
    assert float(found.taylor[bundle]) == pytest.approx(float(slope.mean().abs()), rel=5e-3)
    assert float(found.fisher[bundle]) == pytest.approx(float(slope.square().mean()), rel=5e-3)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("labelled", [True, False])
def test_mask_gradients_of_answers_are_those_of_the_loss_of_transformers(labelled: bool) -> None:
    model = headed("span")
    adapter = adapt(model)
    batch = batches(1, size=3)[0]
    positions = {"start_positions": torch.tensor([4, 0, 11]), "end_positions": torch.tensor([6, 0, 19])}
    data = [{**batch, **positions}] if labelled else [batch]
    found = gradients(gradient_steps(adapter, data, "both", Needs(masks=True)))
    if not labelled:
        with torch.no_grad():
            output = model(**batch)
        own = output.start_logits.argmax(dim=1), output.end_logits.argmax(dim=1)
        positions = dict(zip(positions, own, strict=True))
    by_sequence: dict[str, list[Tensor]] = {site.name: [] for site in adapter.sites()}
    for row in range(3):
        one = {name: tensor[row : row + 1] for name, tensor in {**batch, **positions}.items()}
        model.zero_grad()
        model(**one).loss.backward()
        for site in adapter.sites():
            weight = adapter.consumer(site).weight
            of_channels = (weight.grad * weight.detach()).sum(dim=0)
            by_sequence[site.name].append(of_channels.view(site.bundles, -1).sum(dim=1))
    for site, rows in by_sequence.items():
        expected = torch.stack(rows)
        torch.testing.assert_close(found[site].taylor, expected.mean(dim=0).abs(), rtol=1e-7, atol=1e-12)
        torch.testing.assert_close(found[site].fisher, expected.square().mean(dim=0), rtol=1e-7, atol=1e-12)


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
    """Each pass draws other signs; their mean comes near what all rows of F^(1/2) J by themselves add up to."""
    model = headed(name)
    adapter = adapt(model)
    batch = batches(1, size=1)[0]
    repeats = 400
    monkeypatch.setattr(passes, "sensitivity_tokens", lambda _widest, tokens: tokens)
    found = gradients(gradient_steps(adapter, [batch] * repeats, "both", Needs(sensitivity=True)))
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
    squares = [torch.autograd.grad(row, of_the_site, retain_graph=True)[0].square().sum(-1) for row in rows.flatten()]
    assert found[site.name].sensitivity == pytest.approx(float(torch.stack(squares).sum(0).mean()), rel=0.1)


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

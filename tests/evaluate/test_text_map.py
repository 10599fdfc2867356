"""A map of texts: principal components of the dense vectors, the same axes for all models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.nn.functional import normalize

from liar.evaluate.text_map import MOST_TEXTS, text_map
from liar.report.plots.text_moves import text_map_figure
from liar.results import TextMap


def made(texts: int = 150) -> TextMap:
    torch.manual_seed(0)
    dense = normalize(torch.randn(texts, 12) * torch.linspace(3, 0.2, 12), dim=1)
    moved = {"pruned": normalize(dense + torch.randn(texts, 12), dim=1), "reconstructed": dense}
    return text_map("embedding", [f"text {place} <b>" for place in range(texts)], {"dense": dense, **moved})


def test_axes_are_those_of_scikit_learn_up_to_their_sign() -> None:
    torch.manual_seed(0)
    dense = normalize(torch.randn(150, 12) * torch.linspace(3, 0.2, 12), dim=1)
    found, wanted = made(), PCA(2).fit(dense.double().numpy())
    points = wanted.transform(dense.double().numpy())[:MOST_TEXTS]
    np.testing.assert_allclose(np.abs(found.points["dense"]), np.abs(points), atol=2e-4)
    assert found.share == pytest.approx(wanted.explained_variance_ratio_.sum(), abs=1e-4)


def test_a_model_that_moves_nothing_has_no_arrows() -> None:
    found = made()
    assert len(found.texts) == MOST_TEXTS
    assert found.points["reconstructed"] == found.points["dense"]
    assert found.points["pruned"] != found.points["dense"]


def test_both_maps_have_the_same_axes_and_escape_their_texts() -> None:
    figure = text_map_figure(made())
    layout = figure.layout
    assert layout.xaxis.range == layout.xaxis2.range
    assert layout.yaxis.range == layout.yaxis2.range
    words = [text for trace in figure.data if trace.text is not None for text in trace.text]
    assert words
    assert all("<b>" not in text for text in words)
    type(figure)(figure.to_plotly_json())  # validated

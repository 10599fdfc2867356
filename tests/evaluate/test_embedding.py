"""Vectors of an embedder, what is left of them, and what they find: against sentence-transformers, scipy and scikit-learn."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sentence_transformers.util import semantic_search
from sklearn.metrics import ndcg_score
from torch import Tensor
from torch.nn.functional import normalize

from liar import PruneSpec, run, stream
from liar.data.search import Search, read_search
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.embedding import NEAREST, kept_of, ranking_scores
from liar.evaluate.prepared_task import evaluate, fitting, prepare
from liar.evaluate.reranking import candidates
from liar.evaluate.task_readers import READERS, Request
from liar.progress import finish
from liar.results import VARIANTS
from liar.tasks.record import OwnData
from liar.tasks.registry import task_named
from tests.small_heads import POSITIONS, classifier, embedder, regressor

WORDS = ("red", "green", "blue", "é", "x", "longer")
TEXTS = "\n\n".join(" ".join(WORDS[(i // 6**k) % 6] for k in range(4)) for i in range(0, 1296, 43))
CHOICES = {"sequence_length": 32, "tokens": 128, "device": "cpu"}


def vectors(texts: int, noise: float = 0.0, width: int = 8) -> Tensor:
    torch.manual_seed(1)
    return normalize(torch.randn(texts, width) + noise * torch.randn(texts, width), dim=1)


@given(st.integers(12, 300), st.floats(0.1, 2.0))
def test_what_is_kept_is_what_scipy_and_sentence_transformers_say(texts: int, noise: float) -> None:
    dense, moved = vectors(texts), normalize(vectors(texts) + noise * torch.randn(texts, 8), dim=1)
    kept = kept_of(dense, moved)
    nearest = [
        [
            {hit["corpus_id"] for hit in hits} - {text}
            for text, hits in enumerate(semantic_search(each, each, top_k=texts))
        ]
        for each in (dense, moved)
    ]
    assert all(len(found) == texts - 1 for each in nearest for found in each)
    for text in (0, texts // 2, texts - 1):
        others = [place for place in range(texts) if place != text]
        before, after = (each.double() @ each[text].double() for each in (dense, moved))
        wanted = spearmanr(before[others], after[others]).statistic
        assert kept["similarity-order"][text] == pytest.approx(wanted, abs=1e-4)
        tops = [sorted(others, key=lambda place, by=by: -float(by[place]))[:NEAREST] for by in (before, after)]
        assert kept["neighbours"][text] == pytest.approx(len(set(tops[0]) & set(tops[1])) / NEAREST, abs=1e-5)
        assert kept["cosine"][text] == pytest.approx(float(dense[text] @ moved[text]), abs=1e-4)


def test_the_same_vectors_keep_everything() -> None:
    kept = kept_of(vectors(700), vectors(700))
    assert {name: set(values) for name, values in kept.items()} == {
        "cosine": {1.0},
        "neighbours": {1.0},
        "similarity-order": {1.0},
    }


@given(st.data(), st.integers(2, 30))
def test_rankings_are_scored_as_in_scikit_learn(data: st.DataObject, documents: int) -> None:
    order = data.draw(st.permutations(range(documents)))
    grades = data.draw(st.lists(st.integers(0, 3), min_size=documents, max_size=documents).filter(any))
    right = {place: float(grade) for place, grade in enumerate(grades) if grade}
    found = ranking_scores(order, right)
    scores = [documents - order.index(place) for place in range(documents)]
    assert found["ndcg"] == pytest.approx(ndcg_score([grades], [scores], k=NEAREST))
    first = next(place for place, document in enumerate(order, start=1) if document in right)
    assert found["mrr"] == (1 / first if first <= NEAREST else 0)
    assert found["recall"] == pytest.approx(len(right.keys() & set(order[:NEAREST])) / len(right))


def test_all_that_share_a_word_come_before_others_and_the_right_one_is_among_them() -> None:
    search = Search.of_pairs([("red", "red x"), ("blue", "nothing of it"), ("none", "green")])
    assert candidates(search, most=2) == [[0, 1], [0, 1], [0, 2]]
    assert candidates(search, most=1) == [[0], [1], [2]]
    assert all(len(each) == 3 for each in candidates(search))


# -- in a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture(name="text")
def _text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text(TEXTS, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("given_model", [True, False])
def test_a_run_says_what_an_embedder_lost(text: str, tmp_path: object, given_model: bool) -> None:
    loaded = embedder()
    model = loaded.id
    if not given_model:
        folder = f"{tmp_path}/model"
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        model = folder
    spec = PruneSpec(model=model, targets="ffn", calibration="wiki", evaluate=["own"], data=text, **CHOICES)
    result = run(spec, loaded if given_model else None)
    figures = {each.variant: {figure.metric: figure for figure in each.figures} for each in result.evaluations}
    assert set(figures) == set(VARIANTS)
    for metric, whole in figures["dense"].items():
        assert whole.value == 1
        assert whole.stderr == 0
        for variant in VARIANTS[1:]:
            assert 0 <= figures[variant][metric].value < 1
            assert figures[variant][metric].stderr > 0
    assert figures["reconstructed"]["cosine"].value > figures["pruned"]["cosine"].value


def test_a_dense_model_measured_before_needs_no_second_measurement_if_its_vectors_are_there(text: str) -> None:
    loaded = embedder()
    spec = PruneSpec(model=loaded.id, targets="ffn", calibration="wiki", evaluate=["own"], data=text, **CHOICES)
    first = run(spec, loaded)
    again = run(spec, loaded, dense=first.evaluations)
    elsewhere = run(spec, embedder(), dense=first.evaluations)
    assert first.evaluations == again.evaluations == elsewhere.evaluations
    assert "dense" in again.shared


def test_of_one_model_there_is_nothing_to_compare(text: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"The task own compares a model .* take wiki-search"):
        evaluate(embedder(), "own", data=text, sequence_length=32)


def test_too_few_texts_have_no_neighbours(tmp_path: object) -> None:
    for number in (1, 11):
        path = f"{tmp_path}/{number}.txt"
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n\n".join(WORDS[place % 6] for place in range(number)))
        with pytest.raises(CalibrationError, match=rf"has {number} texts, .* at least 12"):
            prepare(embedder(), "own", data=path, sequence_length=32)
    with open(f"{tmp_path}/empty.txt", "w", encoding="utf-8") as file:
        file.write("\n\n")
    with pytest.raises(CalibrationError, match="is empty"):
        prepare(embedder(), "own", data=f"{tmp_path}/empty.txt", sequence_length=32)


def test_texts_longer_than_the_model_are_cut_and_counted(tmp_path: object) -> None:
    path = f"{tmp_path}/long.txt"
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n\n".join(" ".join([word] * (100 if place < 3 else 4)) for place, word in enumerate(WORDS * 3)))
    loaded = embedder()
    assert finish(prepare(loaded, "own", data=path).steps(loaded, "dense")).cut == 3
    with pytest.raises(InvalidSpecError, match=f"above the {POSITIONS} positions"):
        prepare(loaded, "own", data=path, sequence_length=1000)


@pytest.mark.parametrize("task", ["wiki-search", "embedding", "retrieval"])
def test_a_classifier_is_no_embedder(task: str, tmp_path: object) -> None:
    path = f"{tmp_path}/pairs.csv"
    with open(path, "w", encoding="utf-8") as file:
        file.write("query,positive\nred,red x\nblue,blue x\n")
    with pytest.raises(InvalidSpecError, match=r"needs an embedder.*demo/minilm"):
        prepare(classifier(("a", "b")), task, data=path)


# -- searches -----------------------------------------------------------------------------------------------------------


def pairs(path: object) -> str:
    name = f"{path}/pairs.csv"
    with open(name, "w", encoding="utf-8") as file:
        file.write("query,positive\n" + "".join(f"{word},{word} x longer\n" for word in WORDS))
    return name


def test_a_search_has_the_documents_of_all_pairs(tmp_path: object) -> None:
    loaded = embedder()
    exam = prepare(loaded, "retrieval", data=pairs(tmp_path), limit=3)
    found = finish(exam.steps(loaded, "dense"))
    assert (found.metric, found.n, found.available) == ("ndcg", 3, 6)
    assert [figure.metric for figure in found.figures] == ["ndcg", "recall"]
    assert found.figures[1].value == 1  # ten results hold all six
    assert "6 texts" in (found.note or "")


def test_a_reranker_orders_them(tmp_path: object) -> None:
    loaded = regressor()
    found = finish(prepare(loaded, "retrieval", data=pairs(tmp_path)).steps(loaded, "dense"))
    assert [figure.metric for figure in found.figures] == ["mrr", "ndcg"]
    assert 0 < found.value <= 1


def beir(folder: object, *, corpus: str, queries: str, qrels: str) -> str:
    os.makedirs(f"{folder}/beir/qrels")
    for name, content in (("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/test.tsv", qrels)):
        with open(f"{folder}/beir/{name}", "w", encoding="utf-8") as file:
            file.write(content)
    return f"{folder}/beir"


CORPUS = '{"_id": "a", "title": "red", "text": "x"}\n{"_id": "b", "title": "", "text": "blue"}\n'
QUERIES = '{"_id": "1", "text": "red"}\n{"_id": "2", "text": "blue"}\n'
QRELS = "query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n2\tb\t1\n2\tnowhere\t1\n"


def test_a_folder_of_beir_is_read(tmp_path: object) -> None:
    found = read_search(beir(tmp_path, corpus=CORPUS, queries=QUERIES, qrels=QRELS), "test")
    assert found.documents == ["red x", "blue"]
    assert found.queries == ["red", "blue"]
    assert found.right == [{0: 2.0}, {1: 1.0}]
    assert found.split == "test"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"qrels": "query-id\tcorpus-id\tscore\n"}, "no query with a right document"),
        ({"queries": ""}, "no query with a right document"),
        ({"corpus": ""}, "no query with a right document"),
        ({"corpus": CORPUS.splitlines()[0]}, "has one document"),
        ({"corpus": "red"}, "JSON object in each line"),
        ({"queries": "[1]"}, "JSON object in each line"),
    ],
)
def test_a_folder_without_a_search_is_an_error(tmp_path: object, files: dict[str, str], message: str) -> None:
    folder = beir(tmp_path, **{"corpus": CORPUS, "queries": QUERIES, "qrels": QRELS} | files)
    with pytest.raises(CalibrationError, match=message):
        prepare(embedder(), "retrieval", data=folder)


def test_other_data_are_no_search(tmp_path: object, text: str) -> None:
    with pytest.raises(CalibrationError, match="is no search"):
        prepare(embedder(), "retrieval", data=str(tmp_path))
    with pytest.raises(CalibrationError, match="one column of text"):
        prepare(embedder(), "retrieval", data=text)
    with pytest.raises(InvalidSpecError, match="needs your data"):
        prepare(embedder(), "retrieval")


def test_similarities_of_pairs_are_compared_with_their_numbers(tmp_path: object) -> None:
    """The task stsb, of a copy of its dataset or of a table."""
    path = f"{tmp_path}/pairs.csv"
    with open(path, "w", encoding="utf-8") as file:
        file.write("sentence1,sentence2,label\n" + "".join(f"{a},{b},{5 * (a == b)}\n" for a in WORDS for b in WORDS))
    loaded = embedder()
    assert fitting(task_named("stsb"), loaded, None).head == "similarity"
    task = replace(task_named("stsb"), head="similarity", data=OwnData())
    exam = READERS["similarity"](Request(loaded, task, "test", 36, path, 16, "auto"))
    found = finish(exam.steps(loaded, "dense"))
    assert found.metric == "spearman"
    assert found.value > 0.5  # equal texts are most similar
    assert found.stderr > 0


def test_a_smaller_model_that_is_pruned_again_is_compared_with_itself(text: str) -> None:
    """And leaves the vectors of the model that it was made from as they are, though both share them."""
    loaded = embedder()
    spec = PruneSpec(model=loaded.id, targets="ffn", calibration="wiki", evaluate=["own"], data=text, **CHOICES)
    smaller = finish(stream(spec, loaded)).model
    assert smaller is not None
    before = {name: vectors.clone() for name, vectors in loaded.dense_vectors.items()}
    assert before
    assert run(spec, smaller).evaluations[0].value == 1
    assert len(loaded.dense_vectors) == 2
    assert all(torch.equal(loaded.dense_vectors[name], vectors) for name, vectors in before.items())

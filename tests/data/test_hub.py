"""Datasets of the hub, read through both libraries from a hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import datasets
import pytest
from huggingface_hub import constants

from liar.data.text_reader import read_samples
from liar.errors import CalibrationError
from liar.tasks.splits import Split
from tests.copies import CONFIGS, MEASURED, SIZES, repository_of, samples_of
from tests.hub import Hub, Repository, running
from tests.loopback import ask

GLUE, SQUAD = "nyu-mll/glue", "rajpurkar/squad"


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    glue = repository_of(list(CONFIGS))
    broken = {**glue, "rte/validation-00000-of-00001.parquet": b"PAR1 and no more"}
    repositories = {
        GLUE: Repository(files=glue),
        SQUAD: Repository(files=repository_of(["squad"], folder="plain_text")),
        "some/gated": Repository(files=glue, gated=True),
        "some/broken": Repository(files=broken),
    }
    with running(Hub(repositories=repositories)) as hub:
        yield hub


@pytest.fixture(autouse=True)
def endpoint(served: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both libraries with an empty cache and this hub, whose address they otherwise read when they are imported."""
    ask(served.address, tmp_path_factory.mktemp("cache"), monkeypatch)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", served.address)


@pytest.mark.parametrize("task", [*CONFIGS, "mnli-mm", "squad"])
def test_tasks_are_read_from_the_hub(task: str) -> None:
    parts: dict[Split, str] = {"train": "train", "test": MEASURED.get(task, "validation")}
    for split, part in parts.items():
        read = read_samples(task, split)
        assert (read.source, read.split, read.number) == (task, part, SIZES[part.partition("_")[0]])
        assert list(read) == samples_of(task, part)


def test_any_dataset_is_a_text() -> None:
    read = read_samples(f"{GLUE}:rte", "test")  # its test part has no labels, but is not named
    assert (read.split, read.label_names, read.number) == ("test", CONFIGS["rte"][1], SIZES["test"])
    assert {sample.label for sample in read} == {"-1"}
    assert read_samples(f"{GLUE}:rte:validation", "test").split == "validation"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("some/gated:rte", "The dataset some/gated is gated; accept its terms on the hub, log in with `hf auth login`"),
        ("some/nothing", "neither a file nor a dataset that the hub gives; check the spelling"),
        (f"{GLUE}:nothing", "neither a file nor a dataset that the hub gives; check the spelling"),
        (f"{GLUE}:rte:nothing", "neither a file nor a dataset that the hub gives; check the spelling"),
        (
            "some/broken:rte:validation",
            "Part 'validation' of 'some/broken:rte:validation' cannot be read to its end; check",
        ),
    ],
)
def test_datasets_that_cannot_be_read(source: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message) as caught:
        list(read_samples(source, "test"))
    assert "\n" not in str(caught.value)


def test_tasks_whose_dataset_is_gated_or_missing(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.repositories[GLUE], "gated", True)
    with pytest.raises(CalibrationError, match="The dataset nyu-mll/glue is gated"):
        read_samples("cola", "test")
    monkeypatch.setattr(served, "repositories", {})
    with pytest.raises(CalibrationError, match=r"does not give part 'validation' of rajpurkar/squad; .* with --data"):
        read_samples("squad", "test")


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CalibrationError, match="check the network, or name a folder with a copy of it with --data"):
        read_samples("cola", "test")

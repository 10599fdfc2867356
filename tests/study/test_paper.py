"""The paper's table, end to end against a hub of small random models and made-up data in the hub's own layout."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from huggingface_hub import constants
from paper import LENGTHS, ROWS, main
from transformers import PreTrainedModel

from liar.store import RunStore
from tests.copies import CONFIGS, repository_of
from tests.evaluate.harness.test_copies import COPIES, copy_of
from tests.folders import content
from tests.hub import MAIN, Hub, Repository, running
from tests.loopback import ask
from tests.small_heads import SIZES, WORDS, head_for, reader, tokenizer

GLUE_AND_SQUAD = [row.model for row in ROWS if "bert" in row.model]
LLAMA = "HuggingFaceTB/SmolLM2-360M"


def files_of(model: PreTrainedModel, folder: Path) -> dict[str, bytes]:
    model.save_pretrained(folder)
    words = tokenizer()
    words.eos_token = "[SEP]"  # which the harness needs
    words.save_pretrained(folder)
    return content(folder)


def wikitext() -> dict[str, bytes]:
    """Three parts of lines of text, with empty lines between as the hub has them."""
    files = {}
    for part, lines in (("train", 300), ("validation", 60), ("test", 300)):
        draw = random.Random(part)
        rows = [{"text": " ".join(draw.choices(WORDS, k=40)) if line % 2 else ""} for line in range(lines)]
        buffer = io.BytesIO()
        Dataset.from_list(rows).to_parquet(buffer)
        files[f"wikitext-2-raw-v1/{part}-00000-of-00001.parquet"] = buffer.getvalue()
    parts = [{"split": part, "path": f"wikitext-2-raw-v1/{part}-*"} for part in ("train", "validation", "test")]
    card = yaml.safe_dump({"configs": [{"config_name": "wikitext-2-raw-v1", "data_files": parts}]})
    return {"README.md": f"---\n{card}---\n".encode(), **files}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setitem(SIZES, "max_position_embeddings", max(LENGTHS))
    repositories = {
        "nyu-mll/glue": repository_of(list(CONFIGS)),
        "rajpurkar/squad": repository_of(["squad"], folder="plain_text"),
        "Salesforce/wikitext": wikitext(),
        LLAMA: files_of(reader().model, tmp_path / "llama"),
    }
    for number, row in enumerate(row for row in ROWS if row.model in GLUE_AND_SQUAD):
        repositories[row.model] = files_of(head_for(row.tasks[0]).model, tmp_path / f"bert{number}")
    with running(Hub(repositories={name: Repository(files=files) for name, files in repositories.items()})) as found:
        ask(found.address, tmp_path / "cache", monkeypatch)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)
        monkeypatch.setattr("datasets.config.HF_ENDPOINT", found.address)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        monkeypatch.setenv("LIAR_RUNS", str(tmp_path / "runs"))
        yield found


def table(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]


@pytest.mark.long
def test_every_bert_has_its_lines(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "bert", "--limit", "20"]) == 0
    lines = table(capsys.readouterr().out)[2:]
    assert {line[0] for line in lines} == {f"{model}@{MAIN}" for model in GLUE_AND_SQUAD}
    metrics = [line[1] for line in lines]
    assert {"cola Matthews correlation", "mrpc F1", "stsb Spearman correlation", "mnli-mm accuracy"} <= set(metrics)
    assert {"squad F1 of answers", "squad exact match"} <= set(metrics)
    assert all(line[3].startswith("validation") for line in lines)
    assert all("±" in cell for line in lines for cell in line[4:8])
    assert len(RunStore().summaries()) >= 2 * len(GLUE_AND_SQUAD)


@pytest.mark.long
def test_a_llama_is_read_at_both_lengths_and_asked(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, row, _ in COPIES.values():
        copy_of(tmp_path / "copies", folder, row)
    copy_of(tmp_path / "copies", "allenai/ai2_arc/ARC-Challenge", COPIES["arc_easy"][1])
    assert main(["--only", LLAMA, "--limit", "2", "--data", str(tmp_path / "copies")]) == 0
    lines = table(capsys.readouterr().out)[2:]
    read = [line[2].split(" of Sales")[0] for line in lines[:2]]
    assert read == ["2 windows of 128 tokens", "2 windows of 2,048 tokens"]
    assert {line[1].split()[0] for line in lines[2:]} == {*COPIES, "arc_challenge"}


def test_a_hub_that_goes_away_keeps_what_was_done(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    gone = next(row.model for row in ROWS if row.tasks == ("rte",))
    content = hub.repositories.pop(gone)
    only = ["--only", "uncased-qnli", "uncased-rte", "--limit", "20"]
    assert main(only) == 1
    out, err = capsys.readouterr()
    assert [line[1] for line in table(out)[2:]] == ["qnli accuracy"]
    (sentence,) = [line for line in err.splitlines() if line.startswith(gone)]
    assert "The hub has no model" in sentence
    measured = {run.spec.key for run in RunStore().summaries() if run.saved}
    assert len(measured) == 2

    hub.repositories[gone] = content
    assert main(only) == 0
    out, err = capsys.readouterr()
    assert [line[1] for line in table(out)[2:]] == ["qnli accuracy", "rte accuracy"]
    titles = [line for line in err.splitlines() if line.endswith((", paper", ", ours"))]
    assert titles == [f"{gone}, rte, {name}" for name in ("paper", "ours")], "no run that is kept is done again"


def test_no_such_row_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "gpt"]) == 2
    assert capsys.readouterr().err == "No model has 'gpt' in its id.\n"


def test_a_hub_out_of_reach_is_one_sentence(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere)
    assert main(["--only", "uncased-rte"]) == 1
    assert capsys.readouterr().err.count("\n") == 1

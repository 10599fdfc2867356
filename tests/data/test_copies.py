"""GLUE and SQuAD from local copies in both layouts: right columns, parts and labels, and the refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from datasets import Dataset

from liar.data.text_reader import read_samples
from liar.errors import CalibrationError
from liar.tasks.registry import task_named
from liar.tasks.splits import Split
from tests.copies import CONFIGS, MEASURED, SIZES, Row, part_of, samples_of, write_copy


@pytest.fixture(scope="module", params=["parquet", "saved"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of GLUE and SQuAD in one layout."""
    folder = tmp_path_factory.mktemp(request.param)
    for config in [*CONFIGS, "squad"]:
        write_copy(folder, config, request.param)
    return folder


@pytest.mark.parametrize("task", [*CONFIGS, "mnli-mm", "squad"])
def test_every_layout_gives_the_samples_of_the_hub(folder: Path, task: str) -> None:
    measured = MEASURED.get(task, "validation")
    parts: dict[Split, str] = {"train": "train", "validation": measured, "test": measured}
    for split, part in parts.items():
        read = read_samples(task, split, data=str(folder))
        assert (read.source, read.split, read.number) == (task, part, SIZES[part.partition("_")[0]])
        assert read.label_names == task_named(task).labels
        assert list(read) == samples_of(task, part)


def test_a_part_in_several_pieces(cola: Path) -> None:
    whole = part_of("cola", "validation")
    (cola / "validation-00000-of-00001.parquet").unlink()
    for piece in range(2):
        whole.shard(2, piece, contiguous=True).to_parquet(cola / f"validation-0000{piece}-of-00002.parquet")
    read = read_samples("cola", "test", data=str(cola.parents[2]))
    assert [sample.text for sample in read] == whole["sentence"][:]
    (cola / "validation-00001-of-00002.parquet").unlink()
    _refused(cola, "1 of 2 files, so it is partly downloaded")


# -- copies that cannot be used ------------------------------------------------------------------------------------------


@pytest.fixture
def cola(tmp_path: Path) -> Path:
    """The folder of the configuration cola in a copy; its parent is the folder to name."""
    write_copy(tmp_path, "cola")
    return tmp_path / "nyu-mll/glue/cola"


def _refused(cola: Path, message: str, task: str = "cola", split: Split = "test", data: str | None = None) -> None:
    with pytest.raises(CalibrationError, match=message) as caught:
        list(read_samples(task, split, data=data or str(cola.parents[2])))
    assert "\n" not in str(caught.value)


def test_missing_folders_configurations_and_parts(cola: Path) -> None:
    _refused(cola, "no folder /nowhere; name with --data", data="/nowhere")
    _refused(cola, "no part 'validation' of nyu-mll/glue; put its files there.*glue/rte/validation-0", task="rte")
    file = cola / "validation-00000-of-00001.parquet"
    _refused(cola, "is a file, and nyu-mll/glue is read from a folder", data=str(file))
    file.rename(cola / f"{file.name}.incomplete")
    _refused(cola, "no part 'validation' of nyu-mll/glue; put its files there.*glue/cola/validation-0")


def test_a_saved_copy_without_the_part(tmp_path: Path, cola: Path) -> None:
    shutil.rmtree(cola)
    write_copy(tmp_path / "saved", "cola", "saved")
    place = tmp_path / "saved/nyu-mll/glue/cola"
    (place / "dataset_dict.json").write_text('{"splits": ["train"]}')
    _refused(cola, "no part 'validation' of nyu-mll/glue; .* with save_to_disk", data=str(tmp_path / "saved"))
    shutil.rmtree(place / "train")
    _refused(cola, "cannot be read; copy them once more", data=str(tmp_path / "saved"))


@pytest.mark.parametrize("kept", [0, 40, 1500, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"])
def test_a_damaged_or_partly_downloaded_file_or_a_pointer_of_git(cola: Path, kept: int | bytes) -> None:
    file = cola / "validation-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:kept] if isinstance(kept, int) else kept)
    _refused(cola, "part 'validation' in .* cannot be read; copy them once more, they may be partly downloaded")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "red", "label": 1}, "no column 'sentence'; its columns are text, label"),
        ({"sentence": "red", "idx": 1}, r"no column 'label' \(they have sentence, idx\); take an unchanged copy"),
        ({"sentence": "red", "label": 2}, "the label '2', which is none of unacceptable, acceptable"),
        ({"sentence": "red", "label": None}, "the label None, which is none of unacceptable, acceptable"),
    ],
)
def test_changed_copies(cola: Path, row: Row, message: str) -> None:
    Dataset.from_list([row]).to_parquet(cola / "validation-00000-of-00001.parquet")
    _refused(cola, message)

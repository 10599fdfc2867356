"""Saving or loading that fails gives one sentence and leaves no files behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from safetensors import SafetensorError

from liar import load_model
from liar.errors import ModelNotFoundError, StorageError, UnsupportedModelError
from liar.save.checkpoint import save_model
from tests.cut_models import cut, loaded


def nothing_left(folder: Path) -> bool:
    return list(folder.iterdir()) == []


def test_what_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(StorageError, match="exists already"):
        save_model(loaded("llama"), tmp_path / "model")
    with pytest.raises(StorageError, match="does not exist"):
        save_model(loaded("llama"), tmp_path / "no" / "model")


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("llama")
    monkeypatch.setattr(type(model.model), "save_pretrained", Mock(side_effect=failure))
    with pytest.raises(StorageError, match="No space left on device"):
        save_model(model, tmp_path / "model")
    assert nothing_left(tmp_path)


def test_a_killed_save_leaves_no_folder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.cut_models import loaded; import liar.save.checkpoint as c\n"
        "m = loaded('llama'); real = m.tokenizer.save_pretrained\n"
        "m.tokenizer.save_pretrained = lambda folder: (real(folder), print('half', flush=True), time.sleep(60))\n"
        "c.save_model(m, Path(sys.argv[1]))"
    )
    target = tmp_path / "model"
    process = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    assert not target.exists()
    assert [entry.name.startswith(".model-") for entry in tmp_path.iterdir()] == [True]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    saved = save_model(cut(loaded("llama"), "ffn", lambda layer: 20), tmp_path / "model", shard_bytes=20_000)
    shards = sorted(saved.folder.glob("*.safetensors"))
    assert len(shards) > 2
    os.remove(shards[1])
    with pytest.raises(ModelNotFoundError, match="incomplete or out of reach"):
        load_model(str(saved.folder))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("linears", None),
        ("linears", [1, 2]),
        ("linears", {}),
        ("linears", {"model.nowhere.x": [1, 1, True]}),
        ("linears", {"model.layers.0.mlp.down_proj": ["a", 1, True]}),
        ("linears", {"model.layers.0.mlp.down_proj": [-1, 1, True]}),
        ("linears", {"model.layers.0.mlp.down_proj": [10**7, 10**7, True]}),
        ("attributes", {"model.layers.0.mlp": {"forward": 5}}),
        ("attributes", {"model.layers.0.mlp": {"nothing": 5}}),
        ("model_type", "liar_bert"),
    ],
)
def test_a_config_that_was_tampered_with_is_one_sentence(field: str, value: object, tmp_path: Path) -> None:
    saved = save_model(cut(loaded("llama"), "ffn", lambda layer: 10 + 7 * layer), tmp_path / "model")
    path = saved.folder / "config.json"
    config = json.loads(path.read_text())
    config[field] = value
    path.write_text(json.dumps({name: item for name, item in config.items() if item is not None}))
    with pytest.raises(UnsupportedModelError, match="belong together"):
        load_model(str(saved.folder))


def test_the_code_of_a_checkpoint_is_never_run_by_liar(tmp_path: Path) -> None:
    saved = save_model(cut(loaded("bert"), "attention", lambda layer: 2), tmp_path / "model")
    mark = tmp_path / "ran"
    (saved.folder / "modeling_liar.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    load_model(str(saved.folder))
    time.sleep(0.1)
    assert not mark.exists()

"""Loading a task of lm-evaluation-harness by name, perhaps with a local copy of its dataset."""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import config as datasets_config
from huggingface_hub import HfApi
from lm_eval.tasks import TaskManager

from liar.errors import CalibrationError, InvalidSpecError

_PROBE_SECONDS = 8.0
_CAUSE = 200
"""Characters of another library's error that a message keeps."""


def load_task(name: str, data: str | Path | None) -> dict[str, Any]:
    """The task or group ``name`` as the harness's ``evaluate`` takes it, with its dataset read.

    ``data``: folder with copies of datasets. Raises :class:`InvalidSpecError` for an unknown name, a group without a figure
    of its own, and a task that needs code of its dataset or images; :class:`CalibrationError` for a dataset that is out of
    reach, damaged or empty.
    """
    manager = all_tasks()
    if name not in manager.task_index:
        close = get_close_matches(name, manager.task_index, n=3)
        remedy = f"did you mean {' or '.join(close)}?" if close else "`lm-eval ls tasks` lists all."
        raise InvalidSpecError(f"lm-evaluation-harness has no task {name!r}; {remedy}")
    copies = None if data is None else Path(data).expanduser()
    try:
        with TemporaryDirectory() as folder:
            loaded: dict[str, Any] = manager.load([_definition(name, manager, copies, Path(folder))])
    except (CalibrationError, InvalidSpecError):
        raise
    except ModuleNotFoundError as error:
        raise InvalidSpecError(
            f"The task {name!r} needs the package {error.name!r}; install it, or choose another task."
        ) from error
    except Exception as error:  # the datasets library, its builders and the code of every task raise their own
        raise CalibrationError(
            f"The dataset of the task {name!r} cannot be used ({_cause(error)}); check access to it on the Hub and that it "
            "is complete and not empty, or give a folder with a copy of it."
        ) from error
    for task in loaded["tasks"].values():
        if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
            needs = "runs code that a model wrote" if getattr(task, "UNSAFE_CODE", False) else "needs images or sound"
            raise InvalidSpecError(f"The task {name!r} {needs}, which is not supported; choose another task.")
    if name not in loaded["tasks"] and (
        name not in loaded["groups"] or not loaded["groups"][name].aggregate_metric_list
    ):
        members = ", ".join(sorted(loaded["tasks"])[:5])
        raise InvalidSpecError(f"The group {name!r} has no figure of its own; name one of its tasks, as {members}.")
    return loaded


@cache
def all_tasks() -> TaskManager:
    """The harness's own tasks. Reading their 14,000 files takes some seconds, once in a process."""
    return TaskManager()


def _definition(name: str, manager: TaskManager, data: Path | None, scratch: Path) -> str:
    """The name of the task, or a file in ``scratch`` that includes it and names a copy of its dataset in ``data``."""
    definition = manager.task_index[name].cfg or {}
    is_task = "task" in definition and isinstance(definition["task"], str)
    if data is None:
        members = [name] if is_task else [member for member in definition.get("task", ()) if isinstance(member, str)]
        for member in members[:1]:
            entry = manager.task_index.get(member)
            _check_reachable(member, str((entry.cfg or {}).get("dataset_path") or "") if entry else "")
        return name
    if not is_task:
        raise InvalidSpecError(f"The group {name!r} takes no copies of datasets; name one of its tasks.")
    path, part = str(definition.get("dataset_path") or ""), definition.get("dataset_name")
    places = [data / path, data / path.rpartition("/")[2]]
    folder = next((place.resolve() for place in places if path and place.is_dir()), None)
    if folder is None:
        raise CalibrationError(f"{data} has no folder {path or name}, the dataset of the task {name!r}; add it.")
    if part is not None and not (folder / "README.md").is_file():  # which maps the names of parts to files
        folder = folder / str(part) if (folder / str(part)).is_dir() else folder
        part = None
    file = scratch / "copy.yaml"
    fields = {"include": str(manager.task_index[name].yaml_path), "dataset_path": str(folder), "dataset_name": part}
    file.write_text(json.dumps(fields), encoding="utf-8")
    return str(file)


def _check_reachable(name: str, path: str) -> None:
    """Ask for a dataset of the Hub with a short timeout, because the datasets library tries for half a minute."""
    if "/" not in path or Path(path).exists() or datasets_config.HF_HUB_OFFLINE:
        return
    try:
        HfApi().dataset_info(path, timeout=_PROBE_SECONDS)
    except Exception as error:  # the hub client and its HTTP library raise their own
        raise CalibrationError(
            f"The dataset {path!r} of the task {name!r} is out of reach ({_cause(error)}); check the network and your access, "
            "set HF_HUB_OFFLINE=1 if it was downloaded before, or give a folder with a copy of it."
        ) from error


def _cause(error: Exception) -> str:
    """Kind and beginning of an error's message, on one line and without a full stop."""
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return line[:_CAUSE].rstrip(".: ")

"""Finding and loading a task of lm-evaluation-harness by name, without its index of all tasks, which takes seconds.

A task, and each member of a group, is loaded through a file of its own that includes the definition and may replace the
dataset by a local copy. Only groups that list their members by a tag need the index.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from datasets import config as datasets_config
from huggingface_hub import HfApi
from lm_eval import tasks as task_files
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager

from liar.errors import CalibrationError, InvalidSpecError

_NAME = re.compile(rb"^[\"']?(?:task|group)[\"']?:[ \t]*[\"']?([^\s\"'#\[{]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_PROBE_SECONDS = 8.0
_CAUSE = 200
"""Characters of another library's error that a message keeps."""


def load_task(name: str, include: Path | None, data: Path | None) -> dict[str, Any]:
    """The task or group ``name`` as the harness's ``evaluate`` takes it, with its dataset read.

    ``include``: folder of task files, which come before the harness's own. ``data``: folder with copies of datasets.
    Raises :class:`InvalidSpecError` for an unknown name, a group without a figure of its own, and a task that needs code
    of its dataset or images; :class:`CalibrationError` for a dataset that is out of reach, damaged or empty.
    """
    names = _names(name, include)
    try:
        loaded = _load(name, names, include, data)
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
    for task in tasks_of(loaded):
        if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
            needs = "runs code that a model wrote" if getattr(task, "UNSAFE_CODE", False) else "needs images or sound"
            raise InvalidSpecError(f"The task {name!r} {needs}, which is not supported; choose another task.")
    return loaded


def tasks_of(loaded: Mapping[Any, Any]) -> Iterator[Task]:
    """Every task in what the harness loaded: nested mappings before 0.4.12, later one for tasks and one for groups."""
    for value in loaded.values():
        if isinstance(value, Task):
            yield value
        elif isinstance(value, Mapping):
            yield from tasks_of(value)


def _names(name: str, include: Path | None) -> dict[str, Path]:
    """Name and file of every known task and group, among them ``name``."""
    if include is not None and not include.is_dir():
        raise InvalidSpecError(f"There is no folder {include} of tasks; check the path.")
    names = _names_in_the_harness() | ({} if include is None else _names_in(include))
    if name not in names:
        close = get_close_matches(name, names, n=3)
        remedy = f"did you mean {' or '.join(close)}?" if close else "`lm-eval ls tasks` lists all."
        raise InvalidSpecError(f"lm-evaluation-harness has no task {name!r}; {remedy}")
    return names


@cache
def _names_in_the_harness() -> dict[str, Path]:
    return _names_in(Path(str(task_files.__file__)).parent)


def _names_in(folder: Path) -> dict[str, Path]:
    """Name and file of every task and group that a file in ``folder`` defines."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.yaml")):
        for name in _NAME.findall(path.read_bytes()):
            found.setdefault(name.decode(errors="replace"), path)
    return found


class _Plain(yaml.SafeLoader):
    """Reads a task file without importing the functions that it names."""


_Plain.add_multi_constructor("!", lambda loader, suffix, node: None)


def _definition(file: Path) -> dict[str, Any]:
    """Fields of a task file and of those that it includes."""
    fields: dict[str, Any] = yaml.load(file.read_bytes(), _Plain)
    included = fields.pop("include", [])
    merged: dict[str, Any] = {}
    for other in [included] if isinstance(included, str) else included:
        merged |= _definition(file.parent / other)
    return merged | fields


def _dataset(name: str, definition: Mapping[str, Any], data: Path | None) -> dict[str, Any]:
    """Fields that replace those of the task's dataset: none, or those of the copy in ``data``."""
    path, part = str(definition.get("dataset_path") or ""), definition.get("dataset_name")
    if data is None:
        _check_reachable(name, path)
        return {}
    places = [data / path, data / path.rpartition("/")[2]]
    folder = next((place.resolve() for place in places if path and place.is_dir()), None)
    if folder is None:
        raise CalibrationError(f"{data} has no folder {path or name}, the dataset of the task {name!r}; add it.")
    if part is not None and not (folder / "README.md").is_file():  # which maps the names of parts to files
        folder = folder / str(part) if (folder / str(part)).is_dir() else folder
        part = None
    return {"dataset_path": str(folder), "dataset_name": part}


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


def _load(name: str, names: Mapping[str, Path], include: Path | None, data: Path | None) -> dict[str, Any]:
    definitions = _with_members(name, names)
    if definitions is None:
        if data is not None:
            raise InvalidSpecError(f"The group {name!r} takes no copies of datasets; name one of its tasks.")
        loaded = _loaded(TaskManager(include_path=None if include is None else [str(include)]), name)
    else:
        with TemporaryDirectory() as folder:
            for number, (member, definition) in enumerate(definitions.items()):
                fields = {} if _is_group(definition) else _dataset(member, definition, data)
                file = Path(folder) / f"{number}.yaml"
                file.write_text(json.dumps({"include": str(names[member].resolve()), **fields}), encoding="utf-8")
            loaded = _loaded(TaskManager(include_path=[folder], include_defaults=False), name)
    if definitions is None or _is_group(definitions[name]):
        group: Any = loaded["groups"][name] if "groups" in loaded else next(iter(loaded))
        if not (group.aggregate_metric_list if "groups" in loaded else group.config["aggregate_metric_list"]):
            members = ", ".join(sorted({str(task.config.task) for task in tasks_of(loaded)})[:5])
            raise InvalidSpecError(f"The group {name!r} has no figure of its own; name one of its tasks, as {members}.")
    return loaded


def _loaded(manager: Any, name: str) -> dict[str, Any]:
    load = manager.load if hasattr(manager, "load") else manager.load_task_or_group  # the latter before 0.4.12
    loaded: dict[str, Any] = load(name)
    return loaded


def _with_members(name: str, names: Mapping[str, Path]) -> dict[str, dict[str, Any]] | None:
    """Definitions of a task or group and of all its members; None if a member has no file of its own, such as a tag."""
    found: dict[str, dict[str, Any]] = {}
    waiting = [name]
    while waiting:
        member = waiting.pop()
        if member not in names:
            return None
        if member not in found:
            found[member] = definition = _definition(names[member])
            if _is_group(definition):
                listed = definition.get("task", [])
                waiting += [each if isinstance(each, str) else str(each.get("task")) for each in listed]
    return found


def _is_group(definition: Mapping[str, Any]) -> bool:
    return "group" in definition and "class" not in definition


def _cause(error: Exception) -> str:
    """Kind and beginning of an error's message, on one line and without a full stop."""
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return line[:_CAUSE].rstrip(".: ")

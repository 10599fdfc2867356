"""Any task of lm-evaluation-harness, in this process: its items, prompts and metrics for a loaded model.

The harness is optional: ``pip install 'liar[harness]'``. Figures are those of ``lm_eval.simple_evaluate`` with its default
choices. What its code draws and logs leaves no trace in the process.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

from liar.errors import InvalidSpecError
from liar.evaluate.harness.harness_outcome import outcome_of
from liar.evaluate.outcome import Steps
from liar.models.loaded import LoadedModel

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from liar.evaluate.harness.harness_model import HarnessModel

OLDEST = "0.4.12"
"""Oldest release of the harness that is known to work."""

_TOGETHER = {"loglikelihood": 64, "generate_until": 8}
"""Requests of each kind between two reports of progress."""

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names under which tasks give the length of generated texts."""


def harness_steps(loaded: LoadedModel, name: str, limit: int | None = None, data: str | Path | None = None) -> Steps:
    """Answer the items of the harness's task or group ``name``.

    ``limit``: number of items, of each task of a group. ``data``: folder with copies of datasets, as
    ``data/Rowan/hellaswag`` or ``data/hellaswag``, with the files of the Hub. The model is not changed.

    Raises at the first step :class:`InvalidSpecError` if the harness is missing or too old, for an unknown task, and for
    a model that cannot do it; :class:`CalibrationError` for a dataset that is out of reach, damaged or empty; and at the
    last step what :func:`liar.evaluate.harness.harness_outcome.outcome_of` raises.
    """
    check_harness(loaded)
    if limit is not None and limit < 1:
        raise InvalidSpecError(f"The number of items is {limit}; choose at least 1.")
    from lm_eval.defaults import DEFAULT_OTHER_SEED
    from lm_eval.evaluator import evaluate

    from liar.evaluate.harness.harness_model import Answered, HarnessModel, apart
    from liar.evaluate.harness.harness_tasks import load_task

    with apart():
        task_dict = load_task(name, data)
        tasks = list(task_dict["tasks"].values())
        for task in tasks:  # as simple_evaluate prepares them
            if task.get_config("num_fewshot") is None:
                task.set_config("num_fewshot", 0)
            task.set_fewshot_seed(DEFAULT_OTHER_SEED)
            task.build_all_requests(limit=limit)
            task.build_all_requests = lambda **_: None  # the harness builds them again
        model = HarnessModel(loaded)
    requests = [request for task in tasks for request in task.instances]
    items = [list(group) for _, group in groupby(requests, lambda request: (request.task_name, request.doc_id))]
    _check_requests(name, model, requests)
    done = 0
    for number, chunk in enumerate(_chunks(items)):
        with apart(number):
            repeated = [request for item in chunk for request in item for _ in range(request.repeats or 1)]
            for kind in dict.fromkeys(request.request_type for request in repeated):
                asked = [request for request in repeated if request.request_type == kind]
                for request, answer in zip(asked, getattr(model, kind)(asked, disable_tqdm=True), strict=True):
                    request.resps.append(answer)
        done += len(chunk)
        yield done, len(items)
    with apart():
        results = evaluate(Answered(), task_dict, limit=limit, bootstrap_iters=0)
        return outcome_of(name, tasks, results)


def check_task(loaded: LoadedModel, name: str, data: str | None = None) -> None:
    """Raise the errors of :func:`harness_steps` that are known before the model reads anything."""
    check_harness(loaded)
    from liar.evaluate.harness.harness_model import apart
    from liar.evaluate.harness.harness_tasks import load_task

    with apart():
        load_task(name, data)


def check_harness(loaded: LoadedModel) -> None:
    """Raise :class:`InvalidSpecError` if the harness is missing or too old, or cannot take the model."""
    try:
        version = importlib.metadata.version("lm_eval")
    except importlib.metadata.PackageNotFoundError as error:
        raise InvalidSpecError(
            "This task needs lm-evaluation-harness; install it with `pip install 'liar[harness]'`."
        ) from error
    if Version(version) < Version(OLDEST):
        raise InvalidSpecError(
            f"lm-evaluation-harness {version} is older than {OLDEST}; update it with `pip install -U 'liar[harness]'`."
        )
    if not loaded.is_language_model:
        raise InvalidSpecError(
            f"Tasks of lm-evaluation-harness need a causal language model, and {loaded.id} is none; choose another task."
        )
    if not isinstance(loaded.tokenizer, PreTrainedTokenizer | PreTrainedTokenizerFast):
        raise InvalidSpecError(
            f"lm-evaluation-harness cannot use the {type(loaded.tokenizer).__name__} of {loaded.id}; load the model with a "
            "tokenizer of transformers."
        )
    if loaded.tokenizer.bos_token_id is None and loaded.tokenizer.eos_token_id is None:
        raise InvalidSpecError(
            f"The tokenizer of {loaded.id} has neither a begin nor an end token, and lm-evaluation-harness needs one; set "
            "tokenizer.eos_token and save it with the model."
        )


def _check_requests(name: str, model: HarnessModel, requests: list[Instance]) -> None:
    """Raise :class:`InvalidSpecError` for a kind of request, or a length of generated text, that the model cannot take."""
    for request in requests:
        kind = str(request.request_type)
        if kind not in _TOGETHER:
            raise InvalidSpecError(
                f"The task {name!r} asks for {kind!r}, which is none of {', '.join(_TOGETHER)}; choose another task."
            )
        if kind == "generate_until":
            if model.eot_token_id is None:
                raise InvalidSpecError(
                    f"The task {name!r} generates text up to an end token, and the tokenizer has none; set "
                    "tokenizer.eos_token and save it with the model."
                )
            asked = [int(request.args[1][key]) for key in _LENGTHS if key in request.args[1]]
            length = max(asked, default=model.max_gen_toks)
            if length >= model.max_length:
                raise InvalidSpecError(
                    f"The task {name!r} generates up to {length} tokens, and the model has {model.max_length} positions for "
                    "prompt and answer; choose another task, or a model with more."
                )


def _chunks(items: list[list[Instance]]) -> Iterator[list[list[Instance]]]:
    """The requests of each item, those of some items together: as many as are made between two reports."""
    chunk: list[list[Instance]] = []
    share = 0.0
    for item in items:
        chunk.append(item)
        share += sum(1 / _TOGETHER[request.request_type] for request in item)
        if share >= 1:
            yield chunk
            chunk, share = [], 0.0
    if chunk:
        yield chunk

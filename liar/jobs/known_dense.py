"""What a dense model answered before, so that no run on the same machine asks it again.

An answer is kept under all that decides it: weights, config and tokenizer of the model, the items or the prompt as they are
read, the libraries and the machine. On a CPU the model would give it again bit for bit, so a run that finds it has the
figures of one that does not; only the time of a continuation is that of the run that kept it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from liar.errors import StorageError
from liar.evaluate.answering.generate import prompt_tokens
from liar.evaluate.outcome import Outcome, digest
from liar.evaluate.task_readers import Exam
from liar.models.loaded import LoadedModel
from liar.results import Evaluation, Generation, Record
from liar.runtime.environment import describe, versions
from liar.runtime.offload import fingerprint
from liar.store import DenseStore


class KnownTask(Record):
    """An evaluation of the dense model with its answer to each item, see :class:`liar.evaluate.outcome.Outcome`."""

    evaluation: Evaluation
    answers: list[str]
    right: list[bool] | None


@dataclass(frozen=True, slots=True)
class KnownDense:
    """The answers of one dense model in a store; ``model`` is all of it that decides them."""

    store: DenseStore
    loaded: LoadedModel
    model: Mapping[str, Any]

    @classmethod
    def of(cls, store: DenseStore, loaded: LoadedModel) -> KnownDense | None:
        """None for a model whose tokenizer is not of the tokenizers library, as its rules cannot be compared."""
        rules = getattr(loaded.tokenizer, "backend_tokenizer", None)
        if rules is None:
            return None
        # The last call's truncation and padding are kept in the rules as well, and decide nothing of the next call.
        fixed = {
            name: rule for name, rule in json.loads(rules.to_str()).items() if name not in ("truncation", "padding")
        }
        model = {
            "weights": fingerprint(loaded.model, whole=True),
            "config": loaded.model.config.to_json_string(use_diff=False),
            "end": getattr(getattr(loaded.model, "generation_config", None), "eos_token_id", None),
            "tokenizer": [
                digest(json.dumps(fixed).encode()),
                str(loaded.tokenizer),
                loaded.tokenizer.model_input_names,
            ],
            "environment": describe(loaded.model) | versions(),
        }
        return cls(store, loaded, model)

    def task(self, exam: Exam) -> tuple[Evaluation, Outcome] | None:
        """The evaluation of an exam and what was answered, without its items; None if it is not known."""
        known = None if exam.asked is None else self.store.find(self._exam(exam), KnownTask)
        if known is None or known.evaluation.items is None:
            return None
        return known.evaluation, Outcome((), known.evaluation.items, known.answers, [], known.right)

    def keep_task(self, exam: Exam, evaluation: Evaluation, outcome: Outcome) -> None:
        """Keep what :meth:`task` returns, unless the items are not known before they are answered."""
        if exam.asked is not None:
            known = KnownTask(evaluation=evaluation, answers=outcome.answers, right=outcome.right)
            self._keep(self._exam(exam), known)

    def answer(self, prompt: str, max_new_tokens: int, *, scored: bool) -> Generation | None:
        """The answer to a prompt, None if it is not known; ``scored`` if it has the scores of its tokens."""
        return self.store.find(self._prompt(prompt, max_new_tokens, scored), Generation)

    def keep_answer(self, answer: Generation, max_new_tokens: int, *, scored: bool) -> None:
        """Keep what :meth:`answer` returns."""
        self._keep(self._prompt(answer.prompt, max_new_tokens, scored), answer)

    def _keep(self, question: Mapping[str, Any], answer: Record) -> None:
        with suppress(StorageError):  # a full disk costs the time of asking again, not the run
            self.store.save(question, answer)

    def _exam(self, exam: Exam) -> dict[str, Any]:
        read = [exam.source, exam.split, exam.length, exam.available, exam.separator, exam.note, exam.asked]
        return {**self.model, "task": [exam.task.name, exam.task.metrics, *read]}

    def _prompt(self, prompt: str, max_new_tokens: int, scored: bool) -> dict[str, Any]:
        # A chat template may depend on the date, so the tokens count.
        read = prompt_tokens(self.loaded, prompt).tolist() if self.loaded.is_language_model else None
        return {**self.model, "prompt": [prompt, read, max_new_tokens, scored]}

"""Answers of the three models: texts of a language model, or label probabilities and edits of a classifier."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block

from components import status
from components.answer_markup import legend, live_answers, stored_answers
from components.panel import HEARD, NO_RUN, QUIET, Updates
from components.prompts import is_preset, preset_prompts, read_prompt
from components.workers import stored, with_models
from liar.errors import InvalidSpecError, LiarError
from liar.presets import preset_of
from liar.report.metrics import METRICS, TASK_METRICS
from liar.results import RunResult
from liar.spec import PruneSpec
from server.job import Job, Snapshot
from server.rate import client_of

if TYPE_CHECKING:
    from components.studio import Bus, Studio

log = logging.getLogger(__name__)

MIN_TOKENS = 8
MAX_TEMPERATURE = 1.5
MAX_SEED = 2**31 - 1

_ABSENT = (
    "Models that are not in memory come back with the first question: they are pruned to the stored masks, which takes one "
    "pass over the calibration text, and nothing is measured again."
)


class GenerationsPanel:
    """Questions to the models of the run shown, and the answers stored with it.

    A question is one job, which first restores models that are no longer in memory.
    """

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.studio, self.bus = studio, bus
        writes = result is None or _writes(result)
        presets = preset_prompts(result.spec.model if result else "", writes=writes)
        absent = result is not None and self._is_absent(result.spec.key)
        gr.HTML(
            "<h3>In its own words</h3><p>One prompt, answered by the dense, the pruned and the reconstructed model.</p>",
            elem_classes=["caption"],
        )
        self.job = gr.State("")
        self.prompt = gr.Textbox(
            presets[0],
            label=_prompt_label(writes),
            lines=2,
            max_lines=8,
            elem_id="generations-prompt",
        )
        with gr.Row(elem_id="generations-presets"):
            self.presets = [gr.Button(preset, size="sm", min_width=160) for preset in presets]
        with gr.Row(visible=writes, elem_id="generations-settings") as self.settings:
            self.tokens = gr.Slider(
                MIN_TOKENS, studio.profile.new_tokens, 48, step=1, label="New tokens", min_width=160
            )
            self.temperature = gr.Slider(
                0, MAX_TEMPERATURE, 0, step=0.1, label="Temperature", info="0 takes the likeliest token.", min_width=160
            )
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=100)
        with gr.Row(elem_id="generations-actions"):
            self.button = gr.Button(_button_label(writes), variant="primary", min_width=140)
            self.stop = gr.Button("Stop", interactive=False, min_width=80)
        self.status = gr.HTML(status.note(_ABSENT) if absent else "", elem_id="generations-status")
        self.colour = gr.Checkbox(
            False,
            label="Colour tokens by their probability under the dense model",
            visible=writes,
            container=False,
            elem_id="generations-colour",
            interactive=True,  # otherwise Gradio disables it, since no event reads it
        )
        self.legend = gr.HTML(legend(), visible=writes, elem_id="generations-legend")
        self.live = gr.HTML("", elem_id="generations-live", elem_classes=["answers"])
        self.stored = gr.HTML(
            stored_answers(result) if result else "", elem_id="generations-stored", elem_classes=["answers"]
        )

    @property
    def outputs(self) -> list[Block]:
        by_kind: list[Block] = [self.prompt, self.settings, self.button, self.colour, self.legend]
        return [*self.presets, *by_kind, self.status, self.live, self.stored]

    def show(self, result: RunResult) -> Updates:
        writes = _writes(result)
        return {
            **self._controls(result.spec.model, writes),
            self.status: status.note(_ABSENT) if self._is_absent(result.spec.key) else "",
            self.live: "",
            self.stored: stored_answers(result),
        }

    def blank(self, spec: PruneSpec) -> Updates:
        writes = _is_writer(spec)
        first = preset_prompts(spec.model, writes=writes)[0]
        return {
            **self._controls(spec.model, writes),
            self.prompt: gr.update(value=first, label=_prompt_label(writes)),
            self.status: "",
            self.live: "",
            self.stored: f"<p>{NO_RUN}</p>",
        }

    def _controls(self, model: str, writes: bool) -> Updates:
        """Updates of the controls for a model that continues prompts (``writes``) or labels sentences."""
        return {
            **dict(zip(self.presets, preset_prompts(model, writes=writes), strict=True)),
            self.prompt: gr.update(label=_prompt_label(writes)),
            self.button: gr.update(value=_button_label(writes)),
            self.settings: gr.update(visible=writes),
            self.colour: gr.update(visible=writes),
            self.legend: gr.update(visible=writes),
        }

    def wire(self) -> None:
        """Connect the buttons, and reset the panel when another run is shown."""
        line: list[Block] = [self.button, self.stop, self.status, self.job]
        for preset in self.presets:
            preset.click(lambda words: words, preset, self.prompt, **QUIET)
        asking = gr.on(
            [self.button.click, self.prompt.submit],
            self.ask,
            [self.bus.shown, self.prompt, self.tokens, self.temperature, self.seed],
            [*line, self.live],
            trigger_mode="once",
            **HEARD,
        )
        self.stop.click(self.end, self.job, self.stop, **QUIET)
        self.bus.shown.change(
            self.leave,
            [self.job, self.prompt, self.presets[0]],
            [self.button, self.stop, self.job, self.prompt, self.live],
            cancels=[asking],
            **QUIET,
        )

    # -- events -------------------------------------------------------------------------------------------------

    def ask(
        self, key: str, text: str, tokens: float, temperature: float, seed: float, request: gr.Request
    ) -> Iterator[Updates]:
        """Put one prompt to the three models of the run, as a job; the answers appear piece by piece.

        Models that are not in memory are restored first.
        """
        try:
            prompt = read_prompt(text, self.studio.profile.prompt_characters)
            choices = self._settings(tokens, temperature, seed)
            if self.studio.registry.variants(key) is None:
                stored(self.studio, key)
            job = self.studio.jobs.submit(
                str(request.session_hash),
                f"ask {key} {choices} {prompt}",
                "Asking the models",
                lambda: self._questions(key, prompt, choices),
                kind="ask",
                client=client_of(request),
            )
        except LiarError as error:
            yield {self.status: status.problem(str(error))}
            return
        yield from self._watch(job, prompt, request)

    def end(self, id: str, request: gr.Request) -> Updates:
        """Handle Stop; answers so far stay. Only :meth:`_watch` writes the status; its last update may come first."""
        job = self.studio.jobs.get(id)
        if job is not None:
            self.studio.jobs.stop(job, str(request.session_hash))
        return {self.stop: gr.update(interactive=False)}

    def leave(self, id: str, prompt: str | None, preset: str, request: gr.Request) -> Updates:
        """Stop the job and clear its answers when another run is shown; a prompt that the visitor wrote stays."""
        if (job := self.studio.jobs.get(id)) is not None:
            self.studio.jobs.stop(job, str(request.session_hash))
        return {
            self.button: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.job: "",
            self.prompt: preset if is_preset(prompt or "") else prompt,
            self.live: "",
        }

    # -- the jobs -----------------------------------------------------------------------------------------------

    def _questions(self, key: str, prompt: str, choices: dict[str, Any]) -> Iterator[Any]:
        from liar.evaluate.ask import ask

        # Looked up in the worker, so that a waiting job keeps no models in memory. The models of a run that could not be
        # stored still answer while they are in memory.
        variants = self.studio.registry.variants(key)
        if variants is not None:
            yield from ask(variants, prompt, **choices)
            return
        written: int = choices["max_new_tokens"]
        yield from with_models(
            self.studio,
            stored(self.studio, key),
            lambda variants: ask(variants, prompt, **choices),
            lambda shape: 3 * shape.written(written),
            asked=True,
        )

    def _watch(self, job: Job, prompt: str, request: gr.Request) -> Iterator[Updates]:
        """Updates while ``job`` goes on; the buttons are reset when it has ended."""
        still, again = gr.update(interactive=False), gr.update(interactive=True)
        yield {self.button: still, self.stop: again, self.job: job.id}
        try:
            for snapshot in self.studio.jobs.watch(job, session=str(request.session_hash)):
                told: Updates = {
                    self.status: _line(job.title, snapshot),
                    self.live: live_answers(prompt, snapshot.partial),
                }
                yield {**told, self.stop: gr.update(interactive=not snapshot.stopping)}
        except Exception:
            log.exception("What the job %r said could not be shown", job.title)
            yield {self.status: status.problem("The answers could not be shown; the log of the server has more.")}
        yield {self.button: again, self.stop: still, self.job: ""}

    def _settings(self, tokens: float | None, temperature: float | None, seed: float | None) -> dict[str, Any]:
        """Arguments of :func:`liar.evaluate.ask.ask`; raises :class:`InvalidSpecError` for values out of range."""
        for name, value, least, most in (
            ("number of new tokens", tokens, MIN_TOKENS, self.studio.profile.new_tokens),
            ("temperature", temperature, 0, MAX_TEMPERATURE),
            ("seed", seed, 0, MAX_SEED),
        ):
            if not isinstance(value, int | float) or not least <= value <= most:
                raise InvalidSpecError(f"The {name} should be a number from {least} to {most:,}.")
        return {"max_new_tokens": int(tokens or 0), "temperature": float(temperature or 0), "seed": int(seed or 0)}

    def _is_absent(self, key: str) -> bool:
        return bool(key) and self.studio.registry.variants(key) is None


def _line(title: str, snapshot: Snapshot) -> str:
    return status.end(snapshot, done="Done.", stopped="Stopped.") if snapshot.ended else status.follow(title, snapshot)


def _prompt_label(writes: bool) -> str:
    return "Prompt" if writes else "Sentence"


def _button_label(writes: bool) -> str:
    return "Generate" if writes else "Ask"


def _writes(result: RunResult) -> bool:
    """Whether the model of this run continues prompts; if not, it labels sentences."""
    if result.generations:
        return all(answer.probabilities is None for answer in result.generations)
    if result.evaluations:
        return any(METRICS[item.metric].of_windows for item in result.evaluations)
    return result.model.family != "bert"


def _is_writer(spec: PruneSpec) -> bool:
    """The same for a recipe whose model is not loaded: from its task, else the list of preset models, else True."""
    if spec.evaluate:
        return any(TASK_METRICS[task].of_windows for task in spec.evaluate)
    preset = preset_of(spec.model)
    return preset is None or preset.family != "bert"

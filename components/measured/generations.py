"""Answers of the three models: texts, numbers, marked answers, label probabilities, or what a search finds."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block

from components.measured.answer_markup import example_answers, legend, live_answers, stored_answers
from components.shared import status
from components.shared.browser import button_clicks
from components.shared.job_bodies import preset_prompts, stored, with_models
from components.shared.job_button import JobButton, in_one_sentence, status_line
from components.shared.markup import element
from components.shared.panel import NO_RUN, QUEUED, UNQUEUED, Updates, begin_with
from liar.errors import InvalidSpecError
from liar.events import Progress
from liar.presets import ARCHITECTURES, preset_of
from liar.report.words.examples import Example, examples, examples_in_numbers
from liar.results import Generation, RunResult
from liar.spec import PruneSpec
from liar.tasks.record import OF_LANGUAGE_MODELS, HeadKind
from liar.tasks.registry import TASKS, task_named
from server.job import Snapshot

if TYPE_CHECKING:  # these load torch, which takes seconds
    from components.shared.studio import Bus, Studio
    from liar.evaluate.answering.ask import PartialAnswer

    Answers = Generator[Progress | PartialAnswer | Generation, None, None]

MIN_TOKENS = 8
MAX_TEMPERATURE = 1.5
MAX_SEED = 2**31 - 1

_SCROLL = """
let asked = false;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
new MutationObserver(() => {
  const before = asked;
  asked = Boolean(element.querySelector('.asked'));
  const isLow = element.getBoundingClientRect().top > innerHeight / 3;  // below a third of the window, less is in sight
  if (asked && !before && isLow) element.scrollIntoView({ block: 'start', behavior: calm.matches ? 'auto' : 'smooth' });
}).observe(element, { childList: true, subtree: true });
"""
"""Script that scrolls the answers to a question into view when the first of them begins; see ``scroll-margin`` in the CSS."""

_ABSENT = "The first question takes longer: the three models are made again, and nothing is measured again."


class GenerationsPanel:
    """Questions to the models of the run shown, and the answers stored with it.

    A question is one job, which first restores models that are no longer in memory.
    """

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.studio, self.bus = studio, bus
        gr.HTML(
            "<h3>Try it</h3><p>One prompt, answered by the dense, the pruned and the reconstructed model.</p>",
            elem_classes=["caption"],
        )
        self.prompt = gr.Textbox(lines=2, max_lines=8, elem_id="generations-prompt")
        self.examples = gr.HTML("", js_on_load=button_clicks("example"), elem_id="generations-examples")
        with gr.Row(elem_id="generations-settings", elem_classes=["full-only"]) as self.settings:
            self.tokens = gr.Slider(
                MIN_TOKENS, studio.profile.new_tokens, 48, step=1, label="New tokens", min_width=160
            )
            self.temperature = gr.Slider(
                0, MAX_TEMPERATURE, 0, step=0.1, label="Temperature", info="0 takes the likeliest token.", min_width=160
            )
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=100)
        line = status_line("generations-status")
        self.work = JobButton(studio.jobs, "Generate", "generations-ask", "ask:", line=line)
        self.colour = gr.Checkbox(
            False,
            label="Colour tokens by their probability under the dense model",
            container=False,
            elem_id="generations-colour",
            elem_classes=["full-only"],
            interactive=True,  # otherwise Gradio disables it, since no event reads it
        )
        self.legend = gr.HTML(legend(), elem_id="generations-legend", elem_classes=["full-only"])
        self.live = gr.HTML("", js_on_load=_SCROLL, elem_id="generations-live", elem_classes=["answers"])
        self.stored = gr.HTML("", elem_id="generations-stored", elem_classes=["answers", "full-only"])
        by_kind: list[Block] = [self.prompt, self.settings, self.work.button, self.colour, self.legend]
        self.outputs: list[Block] = [self.examples, *by_kind, self.work.status, self.live, self.stored]
        spec = result.spec if result else PruneSpec()
        found = self._examples(result, spec)
        self.offered = gr.State([example.prompt for example in found])
        begin_with(self.show(spec, result) | ({} if result else {self.stored: ""}))
        begin_with({self.prompt: found[0].prompt, self.live: example_answers(found[0])})

    def show(self, spec: PruneSpec, run: RunResult | None) -> Updates:
        kind, found = _kind_of(spec, run), self._examples(run, spec)
        label, writes = _PROMPTS[kind], kind == "language-model"
        return {
            self.examples: _examples(found, examples_in_numbers(run) if run else ""),
            self.prompt: gr.update(label=label) if run else gr.update(label=label, value=found[0].prompt),
            self.work.button: gr.update(value="Generate" if writes else "Ask"),
            **dict.fromkeys((self.settings, self.colour, self.legend), gr.update(visible=writes)),
            self.work.status: self._absence(spec.key) if run else "",
            self.stored: stored_answers(run) if run else f"<p>{NO_RUN}</p>",
            **({} if run else {self.live: ""}),
        }

    def wire(self) -> None:
        """Connect the buttons, and reset the panel when another run is shown."""
        self.examples.select(self.pick, [self.bus.shown, self.bus.spec], [self.prompt, self.live], **UNQUEUED)
        asking = gr.on(
            [self.work.button.click, self.prompt.submit],
            self.ask,
            [self.bus.shown, self.prompt, self.tokens, self.temperature, self.seed],
            [*self.work.outputs, self.live],
            trigger_mode="once",
            **QUEUED,
        )
        self.bus.shown.change(
            self.change_run,
            [self.work.job, self.prompt, self.offered, self.bus.shown, self.bus.spec],
            [self.work.button, self.work.stop, self.prompt, self.live, self.offered],
            cancels=[asking],
            **UNQUEUED,
        )

    # -- events -------------------------------------------------------------------------------------------------

    @in_one_sentence
    def ask(
        self, key: str, text: str, tokens: float, temperature: float, seed: float, request: gr.Request
    ) -> Iterator[Updates]:
        """Put one prompt to the three models of the run, as a job; the answers appear piece by piece.

        Models that are not in memory are restored first.
        """
        prompt = _read_prompt(text, self.studio.profile.prompt_characters)
        choices = self._settings(tokens, temperature, seed)
        if self.studio.registry.variants(key) is None:
            stored(self.studio, key)

        def show(snapshot: Snapshot) -> Updates:
            return {self.live: live_answers(prompt, snapshot.handed_out)}

        about = f"{key} {choices} {prompt}"
        yield from self.work.run(request, about, "Asking the models", lambda: self._ask(key, prompt, choices), show)

    def pick(self, key: str, spec: PruneSpec, event: gr.EventData) -> Updates:
        """Put an example into the field, and show the answers that are stored with it."""
        found = self._examples(self.studio.store.load(key), spec)
        place = str(getattr(event, "example", ""))
        chosen = found[int(place)] if place.isdecimal() and int(place) < len(found) else found[0]
        return {self.prompt: chosen.prompt, self.live: example_answers(chosen)}

    def change_run(
        self, id: str, prompt: str | None, offered: list[str], key: str, spec: PruneSpec, request: gr.Request
    ) -> Updates:
        """Stop the job when another run is shown, and show its first example; a prompt that the visitor wrote stays.

        A field that need not change is not sent, since the visitor may have written into it meanwhile.
        """
        written, found = (prompt or "").strip(), self._examples(self.studio.store.load(key), spec)
        is_own = bool(written) and written not in offered and not any(written in task.prompts for task in TASKS)
        stays = is_own or written == found[0].prompt
        return {
            **self.work.end(id, request),
            self.work.button: gr.update(interactive=True),
            self.prompt: gr.skip() if stays else found[0].prompt,
            self.live: "" if is_own else example_answers(found[0]),
            self.offered: [example.prompt for example in found],
        }

    def _examples(self, run: RunResult | None, spec: PruneSpec) -> list[Example]:
        """Examples of a run; without one, prompts of the model's task that nobody has answered."""
        found = examples(run) if run else []
        return found or [Example(prompt, {}) for prompt in preset_prompts(spec.model, _kind_of(spec, run))]

    # -- the jobs -----------------------------------------------------------------------------------------------

    def _ask(self, key: str, prompt: str, choices: dict[str, Any]) -> Answers:
        """Answer in the worker; the models are looked up here, since a waiting job must not keep them in memory."""
        from liar.evaluate.answering.ask import ask

        yield from with_models(
            self.studio,
            key,
            lambda variants: ask(variants, prompt, **choices),
            lambda each: 3 * each.written(choices["max_new_tokens"]),
            asked=True,
        )

    def _settings(self, tokens: float | None, temperature: float | None, seed: float | None) -> dict[str, Any]:
        """Arguments of :func:`liar.evaluate.answering.ask.ask`; raises :class:`InvalidSpecError` for values out of range."""
        for name, value, least, most in (
            ("number of new tokens", tokens, MIN_TOKENS, self.studio.profile.new_tokens),
            ("temperature", temperature, 0, MAX_TEMPERATURE),
            ("seed", seed, 0, MAX_SEED),
        ):
            if not isinstance(value, int | float) or not least <= value <= most:
                raise InvalidSpecError(f"The {name} should be a number from {least} to {most:,}.")
        return {"max_new_tokens": int(tokens or 0), "temperature": float(temperature or 0), "seed": int(seed or 0)}

    def _absence(self, key: str) -> str:
        """Status line of a run whose models are not in memory, else ""."""
        return status.note(_ABSENT) if self.studio.registry.variants(key) is None else ""


def _examples(found: Sequence[Example], numbers: str) -> str:
    """A button for each example, and how many such texts there are."""
    buttons = [
        element("button", shorten(example.prompt, 20, placeholder=" …"), type="button", data_example=str(place))
        for place, example in enumerate(found)
    ]
    return "".join(buttons) + (element("p", numbers) if numbers else "")


_SEARCH = "Find one of 300 articles"
_PROMPTS: Mapping[HeadKind, str] = {
    "language-model": "Prompt",
    "choice": "Prompt",
    "sentence": "Sentence",
    "pair": "Two texts, one in each line",
    "regression": "Sentence, or two texts in two lines",
    "span": "Question, and its context in the next line",
    "embedding": _SEARCH,
    "search": _SEARCH,
    "similarity": _SEARCH,
    "rerank": "Two texts, one in each line",
}
"""Label of the field, by what the model can do."""


def _kind_of(spec: PruneSpec, run: RunResult | None = None) -> HeadKind:
    """What the model of a recipe can do: by the answers of its ``run``, else from its tasks, its preset or its family."""
    if run is not None and run.generations and all(answer.tokens for answer in run.generations):
        return "language-model"
    if run is not None and any(answer.found for answer in run.generations):
        return "search"
    tasks = [item.task for item in run.evaluations] if run is not None else []
    kinds = [kind for name in tasks or spec.evaluate if (kind := task_named(name).head) is not None]
    if kinds:
        return "language-model" if kinds[0] in OF_LANGUAGE_MODELS else kinds[0]
    preset = preset_of(spec.model)
    if preset is not None and preset.task is not None:
        return task_named(preset.task).head or "sentence"
    family = run.model.family if run is not None else preset.family if preset is not None else None
    encodes = family in {each.family for each in ARCHITECTURES if each.encodes}
    return "sentence" if encodes else "language-model"


def _read_prompt(text: str | None, most: int) -> str:
    """One prompt of one or more lines; raises :class:`InvalidSpecError` if empty or longer than ``most`` characters."""
    prompt = (text or "").strip()
    if not prompt:
        raise InvalidSpecError("The prompt is empty: write a sentence.")
    if len(prompt) > most:
        raise InvalidSpecError(f"The prompt is longer than {most:,} characters: shorten it.")
    return prompt

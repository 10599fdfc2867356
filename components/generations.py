"""What the three models say: texts side by side for a language model, label probabilities and edits for a classifier."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block

from components import status
from components.jobs import Job, Snapshot
from components.panel import Updates
from components.prompts import is_preset, preset_prompts, read_prompt
from liar.errors import InvalidSpecError, LiarError
from liar.results import VARIANTS, Generation, RunResult, Token, Variant
from liar.words import metric_value

if TYPE_CHECKING:  # loading torch takes seconds, and the page must be up before
    from components.studio import Bus, Studio
    from liar.generate import EditedAnswer
    from liar.variants import Variants

log = logging.getLogger(__name__)

MIN_TOKENS, MAX_TOKENS = 8, 200
MAX_TEMPERATURE = 1.5
MAX_SEED = 2**31 - 1

_ABSENT = (
    "The three models of this run are not in memory. “Bring them back” prunes once more by its recipe, and then they "
    "answer new questions."
)
_NO_ANSWERS = "No answers are stored with this run."
_EMPTY_ANSWER = "The model ends its answer at once."

_STEPS = ((0.5, "at least 0.5"), (0.1, "0.1 to 0.5"), (0.01, "0.01 to 0.1"), (0.001, "0.001 to 0.01"))
"""Least probability of each colour and its name, the likeliest first."""
_RAREST = "below 0.001"

_FLAG = '<span class="flag" role="img" aria-label="first difference">▸</span>'
_FLIP = '<span role="img" aria-label="flips">⇄</span>'


class GenerationsPanel:
    """Questions to the models of the run shown while they are in memory, and the answers that are stored with it."""

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.studio, self.bus = studio, bus
        presets = preset_prompts(result.spec.model if result else "")
        writes = result is None or _writes(result)
        absent = result is not None and self._is_absent(result.spec.key)
        gr.HTML(
            "<h3>In its own words</h3><p>One prompt, answered by the dense, the pruned and the reconstructed model.</p>",
            elem_classes=["caption"],
        )
        self.job = gr.State("")
        self.prompt = gr.Textbox(
            presets[0], label=_prompt_label(writes), lines=2, max_lines=8, elem_id="generations-prompt"
        )
        with gr.Row(elem_id="generations-presets"):
            self.presets = [gr.Button(preset, size="sm", min_width=160) for preset in presets]
        with gr.Row(visible=writes, elem_id="generations-settings") as self.settings:
            self.tokens = gr.Slider(MIN_TOKENS, MAX_TOKENS, 48, step=1, label="New tokens", min_width=160)
            self.temperature = gr.Slider(
                0, MAX_TEMPERATURE, 0, step=0.1, label="Temperature", info="0 takes the likeliest token.", min_width=160
            )
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=100)
        with gr.Row(elem_id="generations-actions"):
            self.button = gr.Button(_button_label(writes), variant="primary", min_width=140)
            self.stop = gr.Button("Stop", interactive=False, min_width=80)
            self.bring = gr.Button("Bring them back", visible=absent, min_width=140)
        self.status = gr.HTML(status.note(_ABSENT) if absent else "", elem_id="generations-status")
        self.colour = gr.Checkbox(
            False,
            label="Colour tokens by their probability under the dense model",
            visible=writes,
            container=False,
            elem_id="generations-colour",
            interactive=True,  # no event reads it, which Gradio takes for a picture of a checkbox
        )
        self.legend = gr.HTML(_legend(), visible=writes, elem_id="generations-legend")
        self.live = gr.HTML("", elem_id="generations-live", elem_classes=["answers"])
        self.stored = gr.HTML(_stored(result) if result else "", elem_id="generations-stored", elem_classes=["answers"])

    @property
    def outputs(self) -> list[Block]:
        by_kind: list[Block] = [self.prompt, self.settings, self.button, self.colour, self.legend]
        return [*self.presets, *by_kind, self.bring, self.status, self.stored]

    def show(self, result: RunResult) -> Updates:
        writes = _writes(result)
        return {
            **dict(zip(self.presets, preset_prompts(result.spec.model), strict=True)),
            self.prompt: gr.update(label=_prompt_label(writes)),
            self.button: gr.update(value=_button_label(writes)),
            self.settings: gr.update(visible=writes),
            self.colour: gr.update(visible=writes),
            self.legend: gr.update(visible=writes),
            self.bring: self._bring(result.spec.key),
            self.status: status.note(_ABSENT) if self._is_absent(result.spec.key) else "",
            self.stored: _stored(result),
        }

    def wire(self) -> None:
        """Connect the buttons, and clear the desk when another run is shown."""
        private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        # Watching costs nothing, so any number of pages may; the work itself waits in the queue of jobs.
        watching: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "once", **private}
        line: list[Block] = [self.button, self.bring, self.stop, self.status, self.job]
        for preset in self.presets:
            preset.click(lambda words: words, preset, self.prompt, queue=False, **private)
        asking = gr.on(
            [self.button.click, self.prompt.submit],
            self.ask,
            [self.bus.shown, self.prompt, self.tokens, self.temperature, self.seed],
            [*line, self.live],
            **watching,
        )
        bringing = self.bring.click(self.bring_back, self.bus.shown, line, **watching)
        self.stop.click(self.end, self.job, self.stop, queue=False, **private)
        self.bus.shown.change(
            self.leave,
            [self.job, self.prompt, self.presets[0]],
            [self.button, self.stop, self.job, self.prompt, self.live],
            cancels=[asking, bringing],
            queue=False,
            **private,
        )

    # -- events -------------------------------------------------------------------------------------------------

    def ask(
        self, key: str, text: str, tokens: float, temperature: float, seed: float, request: gr.Request
    ) -> Iterator[Updates]:
        """Put one prompt to the three models of the run, as a job; what they say appears as they say it."""
        try:
            prompt = read_prompt(text)
            choices = _settings(tokens, temperature, seed)
            self._variants(key)
            job = self.studio.jobs.submit(
                str(request.session_hash),
                f"ask {key} {choices} {prompt}",
                "Asking the models",
                lambda: self._questions(key, prompt, choices),
                kind="ask",
            )
        except LiarError as error:
            yield {self.status: status.problem(str(error)), self.bring: self._bring(key)}
            return
        yield from self._watch(key, job, lambda snapshot: {self.live: _live(prompt, snapshot.partial)})

    def bring_back(self, key: str, request: gr.Request) -> Iterator[Updates]:
        """Do the run shown again, because the queue hands the models of a finished run to the registry."""
        result = self.studio.store.load(key) if key else None
        if result is None:
            yield {self.status: status.problem("This run is not kept here; apply its recipe to do it again.")}
            return
        try:
            job = self.studio.jobs.submit(
                str(request.session_hash), key, f"Pruning {result.spec.model} again", lambda: self._again(result)
            )
        except LiarError as error:
            yield {self.status: status.problem(str(error))}
            return
        yield from self._watch(key, job, lambda _: {})

    def end(self, id: str, request: gr.Request) -> Updates:
        """Stop was pressed; what was said so far stays."""
        if (job := self.studio.jobs.get(id)) is not None:
            self.studio.jobs.stop(job, str(request.session_hash))
        return {self.stop: gr.update(interactive=False)}

    def leave(self, id: str, prompt: str, preset: str, request: gr.Request) -> Updates:
        """Another run is shown, whose models have said nothing yet. A prompt that somebody wrote stays."""
        job = self.studio.jobs.get(id)
        if job is not None and job.kind == "ask":  # a run that brings models back may be somebody's Apply as well
            self.studio.jobs.stop(job, str(request.session_hash))
        return {
            self.button: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.job: "",
            self.prompt: preset if is_preset(prompt) else prompt,
            self.live: "",
        }

    # -- the jobs -----------------------------------------------------------------------------------------------

    def _questions(self, key: str, prompt: str, choices: dict[str, Any]) -> Iterator[Any]:
        from liar.variants import ask

        # Looked up in the worker, because a job that waits must not keep models in memory.
        yield from ask(self._variants(key), prompt, **choices)

    def _again(self, result: RunResult) -> Iterator[Any]:
        from liar.models.offload import is_offloaded
        from liar.pipeline import stream

        spec = result.spec
        loaded = self.studio.registry.get(spec.model, spec.device, spec.dtype)
        if is_offloaded(loaded.model):
            raise InvalidSpecError(
                "This model is streamed, so its variants cannot stay in memory; choose a smaller one."
            )
        prompts = list(_by_prompt(result)) or preset_prompts(spec.model)
        yield from stream(spec, loaded, prompts=prompts)

    def _watch(self, key: str, job: Job, draw: Callable[[Snapshot], Updates]) -> Iterator[Updates]:
        """Updates while ``job`` goes on, and the buttons as they were when it has ended."""
        still, again = gr.update(interactive=False), gr.update(interactive=True)
        yield {self.button: still, self.bring: still, self.stop: again, self.job: job.id}
        try:
            for snapshot in self.studio.jobs.watch(job):
                yield {self.status: _line(job.title, snapshot), **draw(snapshot)}
        except Exception:
            log.exception("What the job %r said could not be shown", job.title)
            yield {self.status: status.problem("The answers could not be shown; the log of the server has more.")}
        yield {self.button: again, self.bring: self._bring(key), self.stop: still, self.job: ""}

    def _variants(self, key: str) -> Variants:
        if not key:
            raise InvalidSpecError("No run is shown yet; apply a recipe first.")
        variants = self.studio.registry.variants(key)
        if variants is None:
            raise InvalidSpecError(_ABSENT)
        return variants

    def _is_absent(self, key: str) -> bool:
        return bool(key) and self.studio.registry.variants(key) is None

    def _bring(self, key: str) -> Any:
        return gr.update(visible=self._is_absent(key), interactive=True)


def _settings(tokens: float | None, temperature: float | None, seed: float | None) -> dict[str, Any]:
    """Arguments of :func:`liar.variants.ask`; raises :class:`InvalidSpecError` for what no control allows."""
    for name, value, least, most in (
        ("number of new tokens", tokens, MIN_TOKENS, MAX_TOKENS),
        ("temperature", temperature, 0, MAX_TEMPERATURE),
        ("seed", seed, 0, MAX_SEED),
    ):
        if not isinstance(value, int | float) or not least <= value <= most:
            raise InvalidSpecError(f"The {name} should be a number from {least} to {most:,}.")
    return {"max_new_tokens": int(tokens or 0), "temperature": float(temperature or 0), "seed": int(seed or 0)}


def _line(title: str, snapshot: Snapshot) -> str:
    if not snapshot.ended:
        return status.follow(title, snapshot)
    if snapshot.state == "failed":
        return status.problem(snapshot.error or "The models gave no answer; the log of the server has more.")
    return status.note("Done." if snapshot.state == "done" else "Stopped.")


def _prompt_label(writes: bool) -> str:
    return "Prompt" if writes else "Sentence"


def _button_label(writes: bool) -> str:
    return "Generate" if writes else "Ask"


def _writes(result: RunResult) -> bool:
    """Whether the model of this run continues prompts; else it labels sentences."""
    labels = any(answer.probabilities is not None for answer in result.generations)
    return not labels and not any(item.metric == "accuracy" for item in result.evaluations)


def _by_prompt(result: RunResult) -> dict[str, dict[Variant, Generation]]:
    found: dict[str, dict[Variant, Generation]] = {}
    for generation in result.generations:
        found.setdefault(generation.prompt, {})[generation.variant] = generation
    return found


# -- answers as markup: every word of a person or a model is escaped ----------------------------------------------------


def _stored(result: RunResult) -> str:
    by_prompt = _by_prompt(result)
    if not by_prompt:
        return f"<p>{_NO_ANSWERS}</p>"
    return "<h4>Stored with this run</h4>" + "".join(_answers(prompt, said) for prompt, said in by_prompt.items())


def _live(prompt: str, heard: list[Any]) -> str:
    """What a job has handed out so far: pieces of an answer and then the whole of it, for each variant, and edits."""
    from liar.variants import Edited, Heard

    said: dict[Variant, Generation] = {}
    edits: dict[Variant, list[EditedAnswer]] = {}
    unfinished: Variant | None = None
    for item in heard:
        if isinstance(item, Heard):
            before = said[item.variant].text if item.variant in said else ""
            said[item.variant] = Generation(prompt=prompt, variant=item.variant, text=f"{before}{item.text}")
            unfinished = item.variant
        elif isinstance(item, Generation):
            said[item.variant], unfinished = item, None
        elif isinstance(item, Edited):
            edits[item.variant] = item.answers
    if not said:
        return ""
    return f"<h4>Your question</h4>{_answers(prompt, said, unfinished)}{_edits(said, edits) if edits else ''}"


def _answers(prompt: str, said: dict[Variant, Generation], unfinished: Variant | None = None) -> str:
    """One prompt and a column for each variant that has said something."""
    columns = ""
    for variant in VARIANTS:
        if (answer := said.get(variant)) is not None:
            dense = said.get("dense") if variant != "dense" else None
            labels = answer.probabilities is not None
            body = _probabilities(answer, dense) if labels else _text(answer, dense, is_whole=variant != unfinished)
            columns += f'<div class="variant {variant}"><h6>{variant.capitalize()}</h6>{body}</div>'
    return f'<section><h5>{escape(prompt)}</h5><div class="columns">{columns}</div></section>'


def _text(answer: Generation, dense: Generation | None, is_whole: bool) -> str:
    text = answer.text or ""
    if is_whole and not text.strip():
        return f'<p class="measures">{_EMPTY_ANSWER}</p>'
    differs = None if dense is None else _first_difference(text, dense.text or "", is_whole)
    measures = _measures(answer, is_same=is_whole and dense is not None and differs is None)
    return f'<p class="text">{_pieces(answer, differs)}</p><p class="measures">{measures}</p>'


def _first_difference(text: str, dense: str, is_whole: bool) -> int | None:
    """Where ``text`` leaves the dense text; its own length where it ends too early, None where it does not leave it."""
    beside = zip(text, dense, strict=False)
    shared = next((at for at, (ours, theirs) in enumerate(beside) if ours != theirs), min(len(text), len(dense)))
    is_beginning = shared == len(text)
    return None if is_beginning and (not is_whole or shared == len(dense)) else shared


def _pieces(answer: Generation, differs: int | None) -> str:
    """The tokens of an answer (words, where none are stored), the one that holds the character ``differs`` set apart."""
    tokens = answer.tokens or [Token(text=word) for word in re.findall(r"\S+\s*|\s+", answer.text or "")]
    markup, end = "", 0
    for token in tokens:
        start, end = end, end + len(token.text)
        piece = _piece(token)
        markup += f"<mark>{_FLAG}{piece}</mark>" if differs is not None and start <= differs < end else piece
    return markup + (f"<mark>{_FLAG}</mark>" if differs == end else "")


def _piece(token: Token) -> str:
    """A token that completes no character has no text, and so no markup."""
    if token.probability is None or not token.text:
        return escape(token.text)
    words = f"probability {token.probability:.2g} under the dense model"
    return f'<span class="p{_step(token.probability)}" title="{words}">{escape(token.text)}</span>'


def _step(probability: float) -> int:
    return next((step for step, (least, _) in enumerate(_STEPS) if probability >= least), len(_STEPS))


def _legend() -> str:
    names = [*(name for _, name in _STEPS), _RAREST]
    steps = " ".join(f'<span class="p{step}">{name}</span>' for step, name in enumerate(names))
    return f"<p>Probability under the dense model: {steps}</p>"


def _measures(answer: Generation, is_same: bool) -> str:
    measures = ["Same text as dense."] if is_same else []
    if answer.tokens and answer.seconds:
        measures.append(f"{len(answer.tokens) / answer.seconds:.1f} tokens a second.")
    if answer.dense_perplexity is not None:
        perplexity = metric_value(answer.dense_perplexity, "perplexity")
        measures.append(f"Perplexity {perplexity}, as the dense model sees it.")
    return " ".join(measures)


def _probabilities(answer: Generation, dense: Generation | None) -> str:
    """Every label with its probability and a bar; the likeliest is bold, and a note says where dense has another."""
    likeliest = _likeliest(answer)
    rows = ""
    for label, probability in (answer.probabilities or {}).items():
        name = f"<strong>{escape(label)}</strong>" if label == likeliest else escape(label)
        share = f"{probability:.1%}"
        rows += f'<div><dt>{name}</dt><dd>{share.replace("%", " %")}<i style="width: {share}"></i></dd></div>'
    flips = dense is not None and _likeliest(dense) != likeliest
    return f"<dl>{rows}</dl>" + (f'<p class="measures">{_FLIP} Not what dense says.</p>' if flips else "")


def _likeliest(answer: Generation) -> str:
    probabilities = answer.probabilities or {}
    return max(probabilities, key=lambda label: probabilities[label], default="")


def _edits(said: dict[Variant, Generation], edits: dict[Variant, list[EditedAnswer]]) -> str:
    """A row for each edit and a column for each variant; an answer that the edit flips is marked."""
    variants = [variant for variant in VARIANTS if variant in edits]
    head = "".join(f'<th scope="col">{variant.capitalize()}</th>' for variant in variants)
    written = "".join(f"<td>{escape(_likeliest(said[variant]))}</td>" for variant in variants)
    counts = "".join(f"<td>{_count(edits[variant])}</td>" for variant in variants)
    rows = ""
    for row in zip(*(edits[variant] for variant in variants), strict=True):
        name, text = escape(row[0].edit), escape(row[0].text)
        rows += f'<tr><th scope="row">{name}<span>{text}</span></th>{"".join(map(_edited, row))}</tr>'
    return (
        "<h5>Which edits flip the answer?</h5>"
        '<div class="scroll" role="region" aria-label="Answers to edits of the sentence" tabindex="0"><table>'
        f'<thead><tr><th scope="col">Edit</th>{head}</tr></thead>'
        f'<tbody><tr><th scope="row">as written</th>{written}</tr>{rows}</tbody>'
        f'<tfoot><tr><th scope="row">Flips</th>{counts}</tr></tfoot></table></div>'
    )


def _edited(answer: EditedAnswer) -> str:
    label = escape(answer.label)
    return f'<td class="flips">{_FLIP} {label}</td>' if answer.flips else f"<td>{label}</td>"


def _count(answers: list[EditedAnswer]) -> str:
    return f"{sum(answer.flips for answer in answers)} of {len(answers)}"

"""The rail on the left: a control for every choice of a run, and the conversion from controls to PruneSpec and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.rail.glossary import TERMS
from components.rail.ratio_marks import ratio_marks
from components.shared.lookup import Known
from components.shared.panel import Updates
from liar.errors import InvalidSpecError
from liar.presets import PRESETS, preset_of
from liar.report.view import Layout
from liar.spec import (
    ALLOCATIONS,
    AUTO,
    CRITERIA,
    MAX_RATIO,
    RECONSTRUCTIONS,
    SCHEDULES,
    SEPARATORS,
    PruneSpec,
    bounds_of,
    range_words,
)
from liar.tasks.mixes import MIXED, sources_of
from liar.tasks.registry import OWN, TASKS, usual_tasks
from server.profile import TEXTS, Profile

_OPTIONAL = ("evaluate_length", "data", "tokens", "edits", "vocabulary")
"""Choices whose field may be empty."""

_OF_MODEL = {
    **{"evaluate": (), "data": None, "edits": (), "calibration": AUTO, "evaluate_length": None},
    **{"vocabulary": None, "layers": 0.0},
}
"""Choices that belong to a model, as they are for another one unless they are changed together with it."""

TARGETS = [("Neurons", "ffn"), ("Heads", "heads"), ("Both", "both"), ("Layers", "layers")]

QUANTIZE = [("No", "none"), ("Also int8", "int8")]


def default_spec() -> PruneSpec:
    """The default recipe, measured on the task of its model."""
    return default_of(PruneSpec().model)


def opening_spec() -> PruneSpec:
    """Recipe that the page opens with, at a ratio where a cut model is far worse than a repaired one."""
    return default_of("demo/minilm-sentiment").model_copy(update={"ratio": 0.7})


def default_of(model: str) -> PruneSpec:
    """The default recipe of ``model``: it removes what its preset names, and is measured on its task."""
    preset, spec = preset_of(model), PruneSpec.create(model=model)
    if preset is not None:
        spec = spec.model_copy(update={"targets": preset.targets, "allocation": preset.allocation})
    return measured_on_its_task(spec)


def measured_on_its_task(spec: PruneSpec) -> PruneSpec:
    """``spec`` with the usual tasks of its preset model, if it names none; another model must be loaded to know its task."""
    preset = preset_of(spec.model)
    if spec.evaluate or preset is None or preset.task is None:
        return spec
    return spec.model_copy(update={"evaluate": usual_tasks(preset.task, spec.data)})


class Recipe:
    """The controls, which show the recipe of ``known``."""

    def __init__(self, known: Known, profile: Profile) -> None:
        spec, self.profile = known.spec, profile
        values = _values(spec)
        choice = partial(_choice, values | {"need": ""})
        also = " Or type a hub id, with @revision if needed, or a folder." if profile.any_model else ""
        with _group("What goes"):
            with choice("model", "Model", also, is_simple=True, is_wide=True) as shared:
                models = [(preset.label, preset.id) for preset in PRESETS if preset.id in profile.models]
                self.model = gr.Dropdown(models, allow_custom_value=profile.any_model, **shared)
            with choice("targets", "Remove", is_wide=True) as shared:
                self.targets = gr.Radio(TARGETS, elem_classes=["segments"], **shared)
            with choice("ratio", "How much goes", is_simple=True, is_wide=True) as shared:
                self.ratio = gr.Slider(0, MAX_RATIO, step=0.01, **shared)
                self.marks = ratio_marks(known)
            with choice("need", "Make it fit", is_simple=True, is_wide=True) as shared:
                self.need = gr.Textbox(lines=1, max_lines=1, max_length=40, placeholder="60 MB", **shared)
            with choice("layers", "Layers first") as shared:
                self.layers = gr.Number(step=0.01, **shared)
            with choice("vocabulary", "Vocabulary") as shared:
                self.vocabulary = gr.Textbox(lines=1, max_lines=1, max_length=4096, placeholder="all", **shared)
            with choice("multiple", "Multiple of", is_wide=True) as shared:
                self.multiple = gr.Number(precision=0, **shared)
            with choice("criterion", "Criterion", is_simple=True) as shared:
                simple = of_layout("simple", spec.criterion)
                self.criterion = gr.Dropdown(filterable=False, **(shared | simple))
            with choice("allocation", "Allocation") as shared:
                self.allocation = gr.Dropdown(list(ALLOCATIONS), filterable=False, **shared)
            with choice("edits", "Edited by hand", is_wide=True) as shared:
                self.edits = gr.Textbox(lines=1, max_lines=6, **shared)
        self._repair(choice)
        self._text_and_measure(choice, values)
        # Controls by the name of their choice in a spec.
        self.controls: dict[str, Block] = {name: getattr(self, name) for name in TERMS if name != "need"}

    def _repair(self, choice: Callable[..., Any]) -> None:
        with _group("Repair"):
            with choice("reconstruction", "Reconstruction", is_wide=True) as shared:
                self.reconstruction = gr.Dropdown(list(RECONSTRUCTIONS), filterable=False, **shared)
            with choice("schedule", "Schedule", is_wide=True) as shared:
                self.schedule = gr.Radio(list(SCHEDULES), **shared)
            with choice("quantize", "Quantise", is_wide=True) as shared:
                self.quantize = gr.Radio(QUANTIZE, **shared)

    def _text_and_measure(self, choice: Callable[..., Any], values: Mapping[str, Any]) -> None:
        any_text = self.profile.any_text
        with _group("Text and measure"):
            more = " Or type a file or a hub dataset." if any_text else ""
            with choice("calibration", "Calibration text", more, is_wide=True) as shared:
                texts = _joined(TEXTS, values["calibration"])
                self.calibration = gr.Dropdown(texts, multiselect=True, allow_custom_value=any_text, **shared)
            with choice("tokens", "Calibration tokens") as shared:
                self.tokens = gr.Number(precision=0, **shared)
            with choice("separator", "Separator") as shared:
                self.separator = gr.Dropdown(list(SEPARATORS), filterable=False, **shared)
            with choice(
                "evaluate", "Measured on", " Or type harness:NAME." if any_text else "", is_wide=True
            ) as shared:
                tasks = [(f"{task.name}: {task.title}", task.name) for task in TASKS if task.is_bundled or any_text]
                self.evaluate = gr.Dropdown(tasks, multiselect=True, allow_custom_value=any_text, **shared)
            with choice("data", "Data of your own", is_shown=any_text, is_wide=True) as shared:
                self.data = gr.Textbox(lines=1, max_lines=1, **shared)
            with choice("evaluate_length", "Length measured at") as shared:
                self.evaluate_length = gr.Number(precision=0, **shared)
            with choice("seed", "Seed") as shared:
                self.seed = gr.Number(precision=0, **shared)

    @property
    def moves(self) -> list[Any]:
        """Events of a visitor changing a choice; typed text counts when it is submitted or loses focus.

        The menu of models loses focus once for each choice, picked or typed. Its ``input`` comes once more then, and the
        second answer would put back what was typed into another field since the first.
        """
        controls: list[Any] = [control for control in self.controls.values() if control is not self.model]
        typed = [control for control in controls if isinstance(control, gr.Number | gr.Textbox)]
        finished = [event for control in typed for event in (control.submit, control.blur)]
        return [self.model.blur, *(control.input for control in controls if control not in typed), *finished]

    def read(self, base: PruneSpec, *values: Any) -> PruneSpec:
        """Spec of the controls, with the choices of ``base`` that no control shows (device, limits of the evaluation).

        Raises :class:`InvalidSpecError` if they give none or the profile forbids it.
        """
        choices = dict(zip(self.controls, values, strict=True))
        choices["evaluate_length"] = choices["evaluate_length"] or None
        choices["tokens"] = choices["tokens"] or AUTO
        choices |= {name: (choices[name] or "").strip() or None for name in ("data", "vocabulary")}
        choices["evaluate"] = tuple(choices["evaluate"] or ())
        choices["calibration"] = _mixed(choices["calibration"] or [AUTO], base)
        wrong = self._wrong(choices)
        choices |= {name: getattr(base, name) for name in wrong}
        choices["edits"] = edits_in(choices["edits"])
        kept = base.model_dump()
        if choices["model"] != base.model:
            del kept["evaluate_limit"]
            choices |= {name: value for name, value in _OF_MODEL.items() if choices[name] == getattr(base, name)}
            if choices["allocation"] == base.allocation == default_of(base.model).allocation:
                choices["allocation"] = default_of(choices["model"]).allocation
        complaints = [f"{'; '.join(wrong.values())}; the other fields stay as they are."] if wrong else []
        try:
            spec = PruneSpec.create(**{**kept, **choices})
        except InvalidSpecError as error:
            complaints.append(str(error))
        if complaints:
            raise InvalidSpecError(" ".join(complaints))
        self.profile.check(spec)
        if spec.model == base.model and spec.evaluate == base.evaluate and spec.data != base.data:
            tasks = [name for name in spec.evaluate if name != OWN.name]  # new data are measured, old ones are not
            spec = spec.model_copy(update={"evaluate": (*tasks, *usual_tasks(None, spec.data)) if tasks else ()})
        return measured_on_its_task(spec)

    def _wrong(self, choices: dict[str, Any]) -> dict[str, str]:
        """What to set in each field that is empty or has a number outside its range. Gradio's own limits would refuse each
        event that reads the rail, and name neither field nor range.
        """
        found: dict[str, str] = {}
        for name, value in choices.items():
            bounds, label = bounds_of(name), getattr(self.controls[name], "label", name)
            if value is None and name not in _OPTIONAL:
                found[name] = f"{label}: give it a value, the field is empty"
            elif bounds and isinstance(value, int | float) and not bounds[0] <= value <= bounds[1]:
                found[name] = f"{label}: set {range_words(name)}, not {f'{value:,}'[:40]}"
        return found

    def settled(self, base: PruneSpec, spec: PruneSpec) -> Updates:
        """Controls that show another choice than ``spec``, which was read from them: of tasks for new data, of a text alone,
        of an edit's spelling.
        """
        is_other: dict[Block, bool] = {
            self.evaluate: spec.data != base.data,
            self.edits: spec.edits != base.edits,
            self.allocation: spec.allocation != base.allocation,
            self.layers: spec.layers != base.layers,
            self.calibration: spec.calibration != base.calibration and not set(spec.sources) <= set(TEXTS),
        }
        return {control: value for control, value in self.fill(spec).items() if is_other.get(control)}

    def fill(self, spec: PruneSpec) -> Updates:
        """Values of the controls for ``spec``. A custom criterion, an allocation that went and other texts join the choices."""
        values = _values(spec)
        filled: Updates = {control: values[name] for name, control in self.controls.items()}
        for name, offered in (("allocation", ALLOCATIONS), ("criterion", tuple(PLAIN)), ("calibration", TEXTS)):
            value = values[name]
            choices = _joined(offered, value if isinstance(value, list) else [value])
            if len(choices) > len(offered):
                choices = _joined(CRITERIA, choices) if name == "criterion" else choices
                filled[self.controls[name]] = gr.update(value=value, choices=choices)
        return filled


@contextmanager
def _group(title: str) -> Iterator[None]:
    """Part of the rail that folds; another one that opens closes it. The simple layout shows no titles."""
    with gr.Column(elem_classes=["group"], elem_id=f"group-{title.split(maxsplit=1)[0].lower()}"):
        button = f'<button type="button" aria-expanded="false">{title}</button>'
        gr.HTML(button, js_on_load=_FOLD, elem_classes=["full-only", "group-title"])
        yield


_FOLD = """
const group = element.closest('.group');
const fold = (open) => {
  for (const each of document.querySelectorAll('.group')) {
    each.classList.toggle('open', open && each === group);
    each.querySelector('.group-title button')?.setAttribute('aria-expanded', open && each === group);
  }
};
element.addEventListener('click', (event) => event.target.closest('button') && fold(!group.classList.contains('open')));
group.addEventListener('liar:unfold', () => fold(true));  // from what shows a control in it
if (group.id === 'group-what') fold(true);
"""


@contextmanager
def _choice(
    values: Mapping[str, Any],
    name: str,
    label: str,
    also: str = "",
    *,
    is_simple: bool = False,
    is_shown: bool = True,
    is_wide: bool = False,
) -> Iterator[dict[str, Any]]:
    """Column for the control of a choice and its entry in the glossary; the simple layout shows it if ``is_simple``. It takes
    the whole width of the rail if ``is_wide``.

    Yields the arguments that every control takes; ``also`` follows the sentence of the glossary.
    """
    classes = ["choice", *(["wide"] if is_wide else []), *([] if is_simple else ["full-only"])]
    with gr.Column(elem_classes=classes, visible=is_shown, min_width=0):
        yield {"value": values[name], "label": label, "elem_id": name.replace("_", "-")}
        gr.HTML(TERMS[name].markup(also), elem_classes=["term-holder"])


PLAIN: Mapping[str, str] = {
    "random": "at random",
    "magnitude": "smallest weights",
    "wanda": "least used",
    "kfac": "least missed",
}
"""Criteria of the simple layout, and what they are called there."""


def of_layout(layout: Layout, chosen: str) -> dict[str, Any]:
    """Label and choices of the criterion: in the simple layout four in plain words, unless the ``chosen`` one is another."""
    if layout == "simple" and chosen in PLAIN:
        return {"label": "Which go first", "choices": [(words, name) for name, words in PLAIN.items()]}
    return {"label": "Criterion", "choices": [(name, name) for name in _joined(CRITERIA, [chosen])]}


def _values(spec: PruneSpec) -> dict[str, Any]:
    """Values of the controls for ``spec``, by the name of their choice; a number that is not chosen is 0."""
    return {
        **{name: getattr(spec, name) for name in TERMS if name != "need"},
        "calibration": spec.calibration.split(MIXED),  # each text with its share if the mix is uneven
        "tokens": 0 if spec.tokens == AUTO else spec.tokens,
        "evaluate": list(spec.evaluate),
        "data": spec.data or "",
        "vocabulary": spec.vocabulary or "",
        "evaluate_length": spec.evaluate_length or 0,
        "edits": "\n".join(spec.edits),
    }


def _joined(offered: Sequence[str], chosen: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*offered, *chosen]))


def edits_in(text: str | None) -> tuple[str, ...]:
    """The edits in the text of their field, one a line; none of them is checked."""
    return tuple(line.strip() for line in (text or "").splitlines() if line.strip())


def _mixed(chosen: list[str], base: PruneSpec) -> str:
    """The calibration texts as one choice. A text of one's own that ``base`` does not have replaces the automatic one."""
    own = set(sources_of(MIXED.join(chosen))).difference(TEXTS, base.sources)
    return MIXED.join(text for text in chosen if not own or text != AUTO)

"""The rail on the left: a control for every choice of a run, and the conversion from controls to PruneSpec and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.rail.glossary import TERMS
from components.rail.ratio_marks import RatioMarks
from components.shared.panel import Updates
from liar.errors import InvalidSpecError
from liar.presets import PRESETS, preset_of
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
    is_custom,
    range_words,
)
from liar.store import RunSummary
from liar.tasks.mixes import MIXED, sources_of
from liar.tasks.registry import OWN, TASKS, usual_tasks
from server.profile import TEXTS, Profile

_OPTIONAL = ("evaluate_length", "data", "tokens", "edits")
"""Choices whose field may be empty."""

_OF_MODEL = {"evaluate": (), "data": None, "edits": (), "calibration": AUTO, "evaluate_length": None}
"""Choices that belong to a model, as they are for another one unless they are changed together with it."""

TARGETS = [("Neurons", "ffn"), ("Heads", "heads"), ("Both", "both"), ("Layers", "layers")]

QUANTIZE = [("No", "none"), ("Also int8", "int8")]


def default_spec() -> PruneSpec:
    """Recipe that the page opens with: the default one, measured on the task of its model."""
    return default_of(PruneSpec().model)


def default_of(model: str) -> PruneSpec:
    """The default recipe of ``model``: it removes what its preset names, and is measured on its task."""
    preset, spec = preset_of(model), PruneSpec.create(model=model)
    return measured_on_its_task(spec if preset is None else spec.model_copy(update={"targets": preset.targets}))


def measured_on_its_task(spec: PruneSpec) -> PruneSpec:
    """``spec`` with the usual tasks of its preset model, if it names none; another model must be loaded to know its task."""
    preset = preset_of(spec.model)
    if spec.evaluate or preset is None or preset.task is None:
        return spec
    return spec.model_copy(update={"evaluate": usual_tasks(preset.task, spec.data)})


class Recipe:
    """The controls. ``base`` keeps the choices of a link that no control shows (device, evaluation).

    ``measured`` are the stored runs of ``spec`` by their ratio.
    """

    def __init__(self, spec: PruneSpec, profile: Profile, measured: Mapping[float, RunSummary]) -> None:
        self.profile = profile
        gr.HTML("<h2>Recipe</h2>")
        self.base = gr.State(spec)
        with _choice("model", is_simple=True) as shared:
            shared["info"] += " Or type a hub id, with @revision if needed, or a folder." if profile.any_model else ""
            models = [(preset.label, preset.id) for preset in PRESETS if preset.id in profile.models]
            self.model = gr.Dropdown(
                models, value=spec.model, label="Model", allow_custom_value=profile.any_model, **shared
            )
        self.targets = _radio("targets", "Remove", TARGETS, spec.targets)
        with _choice("ratio", is_simple=True) as shared:
            self.ratio = gr.Slider(0, MAX_RATIO, value=spec.ratio, step=0.01, label="Ratio", **shared)
            self.marks = RatioMarks(spec, measured)
        with _choice("need") as shared:
            self.need = gr.Textbox("", label="Or what you need", lines=1, max_lines=1, max_length=40, **shared)
        self.criterion = _menu("criterion", "Criterion", CRITERIA, spec.criterion, is_simple=True)
        self.allocation = _menu("allocation", "Allocation", ALLOCATIONS, spec.allocation)
        self.reconstruction = _menu("reconstruction", "Reconstruction", RECONSTRUCTIONS, spec.reconstruction)
        self.schedule = _radio("schedule", "Schedule", list(SCHEDULES), spec.schedule)
        with _choice("calibration") as shared:
            shared["info"] += " Or type a file or a hub dataset." if profile.any_text else ""
            self.calibration = gr.Dropdown(
                _texts(spec),
                value=_mix(spec),
                label="Calibration text",
                multiselect=True,
                allow_custom_value=profile.any_text,
                **shared,
            )
        self.tokens = _number("tokens", "Calibration tokens", _typed(spec.tokens))
        self.separator = _menu("separator", "Separator", SEPARATORS, spec.separator)
        with _choice("evaluate") as shared:
            shared["info"] += " Or type harness:NAME." if profile.any_text else ""
            offered = [task for task in TASKS if task.is_bundled or profile.any_text]
            self.evaluate = gr.Dropdown(
                [(f"{task.name}: {task.title}", task.name) for task in offered],
                value=list(spec.evaluate),
                label="Measured on",
                multiselect=True,
                allow_custom_value=profile.any_text,
                **shared,
            )
        with _choice("data", is_shown=profile.any_text) as shared:
            self.data = gr.Textbox(spec.data or "", label="Data of your own", lines=1, max_lines=1, **shared)
        length = spec.evaluate_length or 0  # Gradio sends 0 for an empty field
        self.evaluate_length = _number("evaluate_length", "Length measured at", length)
        self.multiple = _number("multiple", "Round neurons to a multiple", spec.multiple)
        self.seed = _number("seed", "Seed", spec.seed)
        with _choice("edits") as shared:
            self.edits = gr.Textbox("\n".join(spec.edits), label="Edited by hand", lines=1, max_lines=6, **shared)
        self.quantize = _radio("quantize", "Quantise", QUANTIZE, spec.quantize)
        # Controls by the name of their choice in a spec.
        self.controls: dict[str, Block] = {name: getattr(self, name) for name in TERMS if name != "need"}
        # Inputs of `read`, and outputs of `fill`.
        self.inputs: list[Block] = [self.base, *self.controls.values()]

    @property
    def moves(self) -> list[Any]:
        """Events of a visitor changing a choice; typed text counts when it is submitted or loses focus.

        The menu of models loses focus once for each choice, picked or typed. Its ``input`` comes once more then, and the
        second answer would put back what was typed into another field since the first.
        """
        typed: list[Any] = [self.tokens, self.data, self.evaluate_length, self.multiple, self.seed, self.edits]
        picked: list[Any] = [control for control in self.controls.values() if control not in (self.model, *typed)]
        finished = [event for control in typed for event in (control.submit, control.blur)]
        return [self.model.blur, *(control.input for control in picked), *finished]

    def read(self, base: PruneSpec, *values: Any) -> PruneSpec:
        """Spec of the controls; raises :class:`InvalidSpecError` if they give none or the profile forbids it."""
        choices = dict(zip(self.controls, values, strict=True))
        choices["evaluate_length"] = choices["evaluate_length"] or None
        choices["tokens"] = choices["tokens"] or AUTO
        choices["data"] = (choices["data"] or "").strip() or None
        choices["evaluate"] = tuple(choices["evaluate"] or ())
        choices["calibration"] = _mixed(choices["calibration"] or [AUTO], base)
        wrong = self._wrong(choices)
        choices |= {name: getattr(base, name) for name in wrong}
        choices["edits"] = edits_in(choices["edits"])
        kept = base.model_dump()
        if choices["model"] != base.model:
            del kept["evaluate_limit"]
            choices |= {name: value for name, value in _OF_MODEL.items() if choices[name] == getattr(base, name)}
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
        updates: Updates = {self.evaluate: list(spec.evaluate)} if spec.data != base.data else {}
        if spec.edits != base.edits:
            updates[self.edits] = "\n".join(spec.edits)
        if spec.calibration != base.calibration and not set(spec.sources) <= set(TEXTS):
            updates[self.calibration] = gr.update(value=_mix(spec), choices=_texts(spec))
        return updates

    def fill(self, spec: PruneSpec) -> Updates:
        """Values of the controls for ``spec``. A custom criterion, an allocation that went and other texts join the choices."""
        values: Updates = {control: getattr(spec, name) for name, control in self.controls.items()}
        values |= {self.evaluate: list(spec.evaluate), self.data: spec.data or "", self.calibration: _mix(spec)}
        values |= {self.tokens: _typed(spec.tokens), self.evaluate_length: spec.evaluate_length or 0}
        if spec.allocation not in ALLOCATIONS:
            values[self.allocation] = gr.update(value=spec.allocation, choices=[*ALLOCATIONS, spec.allocation])
        if is_custom(spec.criterion):
            values[self.criterion] = gr.update(value=spec.criterion, choices=[*CRITERIA, spec.criterion])
        if not set(_mix(spec)) <= set(TEXTS):
            values[self.calibration] = gr.update(value=_mix(spec), choices=_texts(spec))
        return {**values, self.edits: "\n".join(spec.edits), self.base: spec}


@contextmanager
def _choice(name: str, *, is_simple: bool = False, is_shown: bool = True) -> Iterator[dict[str, Any]]:
    """Column for the control of a choice, above its entry in the glossary; the simple layout shows it if ``is_simple``.

    Yields the arguments that every control takes from the glossary and from its name.
    """
    with gr.Column(elem_classes=["choice"] if is_simple else ["choice", "full-only"], visible=is_shown):
        yield {"info": TERMS[name].help, "elem_id": name.replace("_", "-")}
        gr.HTML(TERMS[name].markup(), elem_classes=["term-holder"])


def _menu(name: str, label: str, choices: Sequence[str], value: str, *, is_simple: bool = False) -> gr.Dropdown:
    with _choice(name, is_simple=is_simple) as shared:
        return gr.Dropdown(list(choices), value=value, label=label, filterable=False, **shared)


def _radio(name: str, label: str, choices: Sequence[str | tuple[str, str]], value: str) -> gr.Radio:
    with _choice(name) as shared:
        return gr.Radio(list(choices), value=value, label=label, **shared)


def edits_in(text: str | None) -> tuple[str, ...]:
    """The edits in the text of their field, one a line; none of them is checked."""
    return tuple(line.strip() for line in (text or "").splitlines() if line.strip())


def _mixed(chosen: list[str], base: PruneSpec) -> str:
    """The calibration texts as one choice. A text of one's own that ``base`` does not have replaces the automatic one."""
    own = set(sources_of(MIXED.join(chosen))).difference(TEXTS, base.sources)
    return MIXED.join(text for text in chosen if not own or text != AUTO)


def _mix(spec: PruneSpec) -> list[str]:
    """The calibration texts, each with its share if the mix is uneven."""
    return spec.calibration.split(MIXED)


def _texts(spec: PruneSpec) -> list[str]:
    """The calibration texts to choose from: those offered, and those of ``spec``."""
    return list(dict.fromkeys([*TEXTS, *_mix(spec)]))


def _typed(tokens: int | str) -> int:
    """Number in the field for ``tokens``: 0 for "auto"."""
    return 0 if isinstance(tokens, str) else tokens


def _number(name: str, label: str, value: int) -> gr.Number:
    with _choice(name) as shared:
        return gr.Number(value, label=label, precision=0, **shared)

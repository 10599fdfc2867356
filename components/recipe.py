"""The rail on the left: a control for every choice of a run, and the conversion from controls to PruneSpec and back."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.glossary import TERMS
from components.panel import Updates
from liar.errors import InvalidSpecError
from liar.presets import PRESETS, preset_of
from liar.spec import (
    ALLOCATIONS,
    AUTO,
    CRITERIA,
    MAX_RATIO,
    RECONSTRUCTIONS,
    SEPARATORS,
    PruneSpec,
    bounds_of,
    range_words,
)
from server.profile import TEXTS, Profile

TARGETS = [("Neurons", "ffn"), ("Heads", "heads"), ("Both", "both")]

QUANTIZE = [("No", "none"), ("Also int8", "int8")]


def default_spec() -> PruneSpec:
    """Recipe that the page opens with: the default one, measured on the task of its model."""
    return measured_on_its_task(PruneSpec())


def measured_on_its_task(spec: PruneSpec) -> PruneSpec:
    """``spec`` with the task of its preset model, if it names none; another model must be loaded to know its task."""
    preset = preset_of(spec.model)
    if spec.evaluate or preset is None or preset.task is None:
        return spec
    return spec.model_copy(update={"evaluate": (preset.task,)})


class Recipe:
    """The controls. ``base`` keeps the choices of a link that no control shows (device, evaluation)."""

    def __init__(self, spec: PruneSpec, profile: Profile) -> None:
        self.profile = profile
        gr.HTML("<h2>Recipe</h2>")
        self.base = gr.State(spec)
        with gr.Column(elem_classes=["choice"]):
            self.model = gr.Dropdown(
                [(preset.title, preset.id) for preset in PRESETS if preset.id in profile.models],
                value=spec.model,
                label="Model",
                info=TERMS["model"].help + (" Or type a hub id or a folder." if profile.any_model else ""),
                allow_custom_value=profile.any_model,
                elem_id="model",
            )
            _explained("model")
        with gr.Column(elem_classes=["choice", "full-only"]):
            self.targets = gr.Radio(
                TARGETS, value=spec.targets, label="Remove", info=TERMS["targets"].help, elem_id="targets"
            )
            _explained("targets")
        with gr.Column(elem_classes=["choice"]):
            self.ratio = gr.Slider(
                0, MAX_RATIO, value=spec.ratio, step=0.01, label="Ratio", info=TERMS["ratio"].help, elem_id="ratio"
            )
            _explained("ratio")
        self.criterion = _choice("criterion", "Criterion", CRITERIA, spec)
        self.allocation = _choice("allocation", "Allocation", ALLOCATIONS, spec)
        self.reconstruction = _choice("reconstruction", "Reconstruction", RECONSTRUCTIONS, spec)
        with gr.Column(elem_classes=["choice", "full-only"]):
            self.schedule = gr.Radio(
                ["one-shot", "sequential"],
                value=spec.schedule,
                label="Schedule",
                info=TERMS["schedule"].help,
                elem_id="schedule",
            )
            _explained("schedule")
        with gr.Column(elem_classes=["choice", "full-only"]):
            self.calibration = gr.Dropdown(
                list(TEXTS),
                value=spec.calibration,
                label="Calibration text",
                info=TERMS["calibration"].help + (" Or type a file or a hub dataset." if profile.any_text else ""),
                allow_custom_value=profile.any_text,
                elem_id="calibration",
            )
            _explained("calibration")
        with gr.Column(elem_classes=["choice", "full-only"]):
            self.tokens = gr.Number(
                spec.tokens,
                label="Calibration tokens",
                info=TERMS["tokens"].help,
                precision=0,
                elem_id="tokens",
            )
            _explained("tokens")
        self.separator = _choice("separator", "Separator", SEPARATORS, spec)
        with gr.Column(elem_classes=["choice", "full-only"]):
            self.evaluate_length = gr.Number(
                spec.evaluate_length or 0,  # Gradio sends 0 for an empty field
                label="Length measured at",
                info=TERMS["evaluate_length"].help,
                precision=0,
                elem_id="evaluate-length",
            )
            _explained("evaluate_length")
        with gr.Column(elem_classes=["choice", "full-only"]):
            self.multiple = gr.Number(
                spec.multiple,
                label="Round neurons to a multiple",
                info=TERMS["multiple"].help,
                precision=0,
                elem_id="multiple",
            )
            _explained("multiple")
        with gr.Column(elem_classes=["choice", "full-only"]):
            self.seed = gr.Number(
                spec.seed,
                label="Seed",
                info=TERMS["seed"].help,
                precision=0,
                elem_id="seed",
            )
            _explained("seed")
        with gr.Column(elem_classes=["choice", "full-only"]):
            self.edits = gr.Textbox(
                "\n".join(spec.edits),
                label="Edited by hand",
                info=TERMS["edits"].help,
                lines=1,
                max_lines=6,
                elem_id="edits",
            )
            _explained("edits")

        with gr.Column(elem_classes=["choice", "full-only"]):
            self.quantize = gr.Radio(
                QUANTIZE, value=spec.quantize, label="Quantise", info=TERMS["quantize"].help, elem_id="quantize"
            )
            _explained("quantize")

    @property
    def controls(self) -> dict[str, Block]:
        """Controls by the name of their choice in a spec."""
        names = ("model", "targets", "ratio", "criterion", "allocation", "reconstruction", "schedule", "calibration")
        more = ("tokens", "separator", "evaluate_length", "multiple", "seed", "edits", "quantize")
        return {name: getattr(self, name) for name in names + more}

    @property
    def inputs(self) -> list[Block]:
        return [self.base, *self.controls.values()]

    @property
    def outputs(self) -> list[Block]:
        return self.inputs

    @property
    def moves(self) -> list[Any]:
        """Events of a visitor changing a choice; typed text counts when it is submitted or loses focus."""
        typed: list[Any] = [self.tokens, self.evaluate_length, self.multiple, self.seed, self.edits]
        picked: list[Any] = [control for control in self.controls.values() if control not in typed]
        finished = [event for control in typed for event in (control.submit, control.blur)]
        return [control.input for control in picked] + finished

    def read(self, base: PruneSpec, *values: Any) -> PruneSpec:
        """Spec of the controls; raises :class:`InvalidSpecError` if they give none or the profile forbids it."""
        choices = dict(zip(self.controls, values, strict=True))
        choices["evaluate_length"] = choices["evaluate_length"] or None
        empty = next((name for name, value in choices.items() if value is None and name != "evaluate_length"), None)
        if empty:
            raise InvalidSpecError(f"The field for {empty} is empty: give it a value.")
        self._check_ranges(choices)
        choices["edits"] = tuple(line.strip() for line in str(choices["edits"]).splitlines() if line.strip())
        kept = base.model_dump()
        if choices["model"] != base.model:  # evaluation and edits belong to the former model
            kept = {name: kept[name] for name in kept if name not in ("evaluate", "evaluate_limit")}
            if choices["edits"] == base.edits:
                choices["edits"] = ()
            if choices["calibration"] == base.calibration:
                choices["calibration"] = AUTO
            if choices["evaluate_length"] == base.evaluate_length:
                choices["evaluate_length"] = None
        spec = measured_on_its_task(PruneSpec.create(**{**kept, **choices}))
        self.profile.check(spec)
        return spec

    def _check_ranges(self, choices: dict[str, Any]) -> None:
        """Raise :class:`InvalidSpecError` for a number outside its range, with field and range. Gradio's own limits
        would refuse each event that reads the rail, and name neither.
        """
        for name, value in choices.items():
            bounds = bounds_of(name)
            if bounds and isinstance(value, int | float) and not bounds[0] <= value <= bounds[1]:
                label = getattr(self.controls[name], "label", name)
                raise InvalidSpecError(
                    f"{label}: set {range_words(name)}, not {f'{value:,}'[:40]}; the other fields stay as they are."
                )

    def fill(self, spec: PruneSpec) -> Updates:
        """Values of the controls for ``spec``."""
        values = {control: getattr(spec, name) for name, control in self.controls.items()}
        length = spec.evaluate_length or 0
        return {**values, self.evaluate_length: length, self.edits: "\n".join(spec.edits), self.base: spec}


def _choice(name: str, label: str, choices: tuple[str, ...], spec: PruneSpec) -> gr.Dropdown:
    with gr.Column(elem_classes=["choice", "full-only"]):
        control = gr.Dropdown(
            list(choices),
            value=getattr(spec, name),
            label=label,
            info=TERMS[name].help,
            filterable=False,
            elem_id=name,
        )
        _explained(name)
    return control


def _explained(name: str) -> None:
    gr.HTML(TERMS[name].markup(), elem_classes=["term-holder"])

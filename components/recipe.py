"""The rail on the left: every choice of a run, and the way from its controls to a PruneSpec and back."""

from __future__ import annotations

import os
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.panel import Updates
from components.prompts import preset_prompts, read_prompts
from liar.errors import InvalidSpecError
from liar.models.presets import PRESETS, Preset
from liar.results import RunResult
from liar.spec import ALLOCATIONS, AUTO, CRITERIA, MAX_RATIO, RECONSTRUCTIONS, PruneSpec

TARGETS = [("Neurons", "ffn"), ("Heads", "heads"), ("Both", "both")]

TEXTS = (AUTO, "wiki", "sentiment", "topic")
"""Calibration texts of the demo bundle."""

ANY_MODEL = "SPACE_ID" not in os.environ
"""At home any model id or folder may be typed; a public page offers the demo models, which its machine can hold."""

OFFERED: dict[str, Preset] = {preset.id: preset for preset in PRESETS if ANY_MODEL or preset.id.startswith("demo/")}


def default_spec() -> PruneSpec:
    """What the page opens with: the default recipe, measured on the task of its model."""
    spec = PruneSpec()
    task = OFFERED[spec.model].task
    return spec.model_copy(update={"evaluate": (task,) if task else ()})


class Recipe:
    """The controls. What a link may say but no control shows (device, text, evaluation) stays in ``base``."""

    def __init__(self, spec: PruneSpec, result: RunResult | None) -> None:
        prompts = prompts_of(result) if result else preset_prompts(spec.model)
        gr.HTML("<h2>Recipe</h2>")
        self.base = gr.State(spec)
        self.model = gr.Dropdown(
            [(preset.title, preset.id) for preset in OFFERED.values()],
            value=spec.model,
            label="Model",
            info="Or type a hub id or a folder." if ANY_MODEL else None,
            allow_custom_value=ANY_MODEL,
            elem_id="model",
        )
        self.targets = gr.Radio(TARGETS, value=spec.targets, label="Remove", elem_id="targets")
        self.ratio = gr.Slider(
            0, MAX_RATIO, value=spec.ratio, step=0.01, label="Ratio", info="Share to remove.", elem_id="ratio"
        )
        self.criterion = gr.Dropdown(
            list(CRITERIA),
            value=spec.criterion,
            label="Criterion",
            info="Tells which units matter least.",
            filterable=False,
        )
        self.allocation = gr.Dropdown(
            list(ALLOCATIONS),
            value=spec.allocation,
            label="Allocation",
            info="How the ratio is spread over the sites.",
            filterable=False,
        )
        self.reconstruction = gr.Dropdown(
            list(RECONSTRUCTIONS),
            value=spec.reconstruction,
            label="Reconstruction",
            info="How what is left makes up for the rest.",
            filterable=False,
        )
        self.prompts = gr.Textbox(
            "\n".join(prompts),
            label="Prompts",
            info="One a line, at most three.",
            lines=3,
            max_lines=8,
            elem_id="prompts",
        )
        with gr.Accordion("Calibration, schedule and seed", open=False):
            self.schedule = gr.Radio(
                ["one-shot", "sequential"],
                value=spec.schedule,
                label="Schedule",
                info="Sequential: each site sees the already pruned model.",
            )
            self.tokens = gr.Number(
                spec.tokens, label="Calibration tokens", precision=0, minimum=1, maximum=10_000_000, elem_id="tokens"
            )
            self.seed = gr.Number(spec.seed, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
        self.model.input(_swap_prompts, [self.model, self.prompts], self.prompts, queue=False, show_progress="hidden")

    @property
    def controls(self) -> dict[str, Block]:
        """Name of the choice in a spec -> its control."""
        names = ("model", "targets", "ratio", "criterion", "allocation", "reconstruction", "schedule", "tokens", "seed")
        return {name: getattr(self, name) for name in names}

    @property
    def inputs(self) -> list[Block]:
        return [self.base, self.prompts, *self.controls.values()]

    @property
    def outputs(self) -> list[Block]:
        return self.inputs

    def read(self, base: PruneSpec, prompts: str, *values: Any) -> tuple[PruneSpec, list[str]]:
        """The spec and the prompts that the controls say; raises :class:`InvalidSpecError`."""
        choices = dict(zip(self.controls, values, strict=True))
        empty = next((name for name, value in choices.items() if value is None), None)
        if empty:
            raise InvalidSpecError(f"The field for {empty} is empty: give it a value.")
        kept = base.model_dump()
        if choices["model"] != base.model:  # the text and the tasks of another model
            kept = {name: kept[name] for name in kept if name not in ("calibration", "evaluate", "evaluate_limit")}
        return PruneSpec.create(**{**kept, **choices}), read_prompts(prompts)

    def fill(self, spec: PruneSpec, result: RunResult | None = None) -> Updates:
        """Controls that say ``spec``, and the prompts of its result where there is one."""
        prompts = prompts_of(result) if result else preset_prompts(spec.model)
        values = {control: getattr(spec, name) for name, control in self.controls.items()}
        return {**values, self.base: spec, self.prompts: "\n".join(prompts)}


def refusal(spec: PruneSpec) -> str | None:
    """Why a public page does not run this spec, else None: a link must not make it read or fetch what it names."""
    if ANY_MODEL:
        return None
    if spec.model not in OFFERED:
        return f"This page does not offer the model {spec.model!r}; run LIAR at home for that."
    if spec.calibration not in TEXTS:
        return f"This page does not read the text {spec.calibration!r}; run LIAR at home for that."
    return None


def prompts_of(result: RunResult) -> list[str]:
    return list(dict.fromkeys(generation.prompt for generation in result.generations))


def _swap_prompts(model: str | None, now: str) -> str:
    """Presets follow the model; what somebody wrote stays."""
    presets = {"\n".join(preset_prompts(name)) for name in OFFERED}
    return "\n".join(preset_prompts(model or "")) if not now.strip() or now.strip() in presets else now

"""What the three models say: text side by side for a LLaMA, label probabilities for a BERT."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from components.panel import Updates
from components.prompts import MAX_PROMPTS
from liar.results import VARIANTS, Generation, RunResult, Variant


@dataclass(frozen=True)
class _Row:
    """One prompt and, for each variant, a box for text and one for probabilities, of which one is shown."""

    group: gr.Group
    prompt: gr.Textbox
    texts: dict[Variant, gr.Textbox]
    labels: dict[Variant, gr.Label]

    @property
    def components(self) -> list[Block]:
        return [self.prompt, *self.texts.values(), *self.labels.values()]


class GenerationsPanel:
    """A row for each prompt, a column for each variant. Text reaches the page as text, never as markup."""

    def __init__(self, result: RunResult | None) -> None:
        gr.HTML(
            "<h3>In its own words</h3><p>One prompt, answered by the dense, the pruned and the reconstructed model.</p>",
            elem_classes=["caption"],
        )
        by_prompt = _by_prompt(result) if result else {}
        self.rows = [_row(list(by_prompt.items())[i] if i < len(by_prompt) else None) for i in range(MAX_PROMPTS)]

    @property
    def outputs(self) -> list[Block]:
        return [component for row in self.rows for component in (row.group, *row.components)]

    def show(self, result: RunResult) -> Updates:
        by_prompt = list(_by_prompt(result).items())
        updates: Updates = {}
        for index, row in enumerate(self.rows):
            said = by_prompt[index] if index < len(by_prompt) else None
            updates[row.group] = gr.update(visible=said is not None)
            if said is None:
                continue
            prompt, answers = said
            updates[row.prompt] = prompt
            for variant in VARIANTS:
                answer = answers.get(variant)
                updates[row.texts[variant]] = gr.update(value=_text(answer), visible=not _is_label(answer))
                updates[row.labels[variant]] = gr.update(value=_probabilities(answer), visible=_is_label(answer))
        return updates


def _row(said: tuple[str, dict[Variant, Generation]] | None) -> _Row:
    prompt, answers = said if said else ("", {})
    with gr.Group(visible=said is not None, elem_classes=["generation"]) as group:
        prompt_box = gr.Textbox(
            prompt, label="Prompt", interactive=False, lines=1, max_lines=4, elem_classes=["prompt"]
        )
        texts: dict[Variant, gr.Textbox] = {}
        labels: dict[Variant, gr.Label] = {}
        with gr.Row():
            for variant in VARIANTS:
                answer = answers.get(variant)
                with gr.Column(min_width=220, elem_classes=["variant", variant]):
                    gr.HTML(f"<h4>{variant.capitalize()}</h4>")
                    texts[variant] = gr.Textbox(
                        _text(answer),
                        label=f"What the {variant} model writes",
                        show_label=False,
                        interactive=False,
                        lines=3,
                        max_lines=16,
                        visible=not _is_label(answer),
                    )
                    labels[variant] = gr.Label(
                        _probabilities(answer),
                        label=f"What the {variant} model thinks",
                        show_label=False,
                        num_top_classes=3,
                        show_heading=False,
                        visible=_is_label(answer),
                    )
    return _Row(group, prompt_box, texts, labels)


def _by_prompt(result: RunResult) -> dict[str, dict[Variant, Generation]]:
    found: dict[str, dict[Variant, Generation]] = {}
    for generation in result.generations:
        found.setdefault(generation.prompt, {})[generation.variant] = generation
    return found


def _text(answer: Generation | None) -> str:
    return (answer.text or "").strip() if answer else ""


def _probabilities(answer: Generation | None) -> dict[str, float] | None:
    return answer.probabilities if answer else None


def _is_label(answer: Generation | None) -> bool:
    return answer is not None and answer.probabilities is not None

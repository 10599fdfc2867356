"""Style of the page: one accent colour on greys, fonts served with the page, nothing fetched from other hosts."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from liar.report.plots.frame import FONTS, TYPEFACE

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def stylesheets() -> list[Path]:
    """Style sheet of the page, then those of the panels."""
    return [ASSETS / "page.css", *sorted((ASSETS / "css").glob("*.css"))]


HEAD = """
<meta name="description" content="Prune a BERT or a LLaMA, repair it in closed form, see what happened.">
<script>
  // Gradio's <base href="./"> resolves to what would hold without it, yet makes plotly tie its clip paths to the
  // address at the time of drawing: once a run changed the address, every mark of a figure would vanish.
  document.querySelector('base')?.removeAttribute('href');
</script>
"""


_LIGHT_AND_DARK = {
    "body_background_fill": ("*neutral_50", "*neutral_950"),
    "body_text_color": ("*neutral_900", "*neutral_100"),
    "body_text_color_subdued": ("*neutral_600", "*neutral_300"),
    "block_background_fill": ("white", "*neutral_900"),
    "block_border_color": ("*neutral_200", "*neutral_800"),
    "block_info_text_color": ("*neutral_600", "*neutral_300"),
    "block_label_text_color": ("*neutral_700", "*neutral_200"),
    "block_title_text_color": ("*neutral_800", "*neutral_100"),
    "block_shadow": ("none", "none"),
    "input_background_fill": ("white", "*neutral_800"),
    "checkbox_label_background_fill": ("white", "*neutral_800"),
    "checkbox_label_background_fill_hover": ("*neutral_100", "*neutral_700"),
    "checkbox_label_background_fill_selected": ("*primary_50", "*primary_950"),
    "checkbox_label_border_width": ("1px", "1px"),
    "checkbox_label_border_color": ("*neutral_300", "*neutral_700"),
    "input_border_width": ("1px", "1px"),
    "input_border_color": ("*neutral_300", "*neutral_700"),
    "input_border_color_focus": ("*primary_600", "*primary_400"),
    "input_placeholder_color": ("*neutral_500", "*neutral_400"),
    "button_primary_background_fill": ("*primary_700", "*primary_700"),
    "button_primary_background_fill_hover": ("*primary_800", "*primary_600"),
    "slider_color": ("*primary_700", "*primary_400"),
}
"""Values of the theme's variables, on a light page and on a dark one."""


def theme() -> gr.themes.Base:
    """Theme of the page. Help texts and labels are darker than Gradio's, which fall short of a 4.5:1 contrast."""
    light = {name: value for name, (value, _) in _LIGHT_AND_DARK.items()}
    dark = {f"{name}_dark": value for name, (_, value) in _LIGHT_AND_DARK.items()}
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        secondary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=[gr.themes.LocalFont(TYPEFACE, weights=(400, 700)), *FONTS[1:]],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
    ).set(
        block_title_text_weight="600",
        checkbox_background_color_selected="*primary_700",
        checkbox_border_color_selected="*primary_700",
        button_primary_text_color="white",
        button_secondary_text_color="*neutral_800",
        **light,
        **dark,
    )

"""The front matter of the README, which configures a Hugging Face Space."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def test_the_file_that_a_space_starts_exists() -> None:
    space = SpaceCard.load(ROOT / "README.md", ignore_metadata_errors=False).data
    assert space.sdk == "gradio"
    assert (ROOT / space.app_file).is_file()
    assert len(space.short_description) <= 60
    requirements = map(Requirement, (ROOT / "requirements.txt").read_text().split("\n", 1)[1].split())
    gradio = next(item for item in requirements if item.name == "gradio")
    assert gradio.specifier.contains(space.sdk_version)

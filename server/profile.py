"""Profiles: every limit of a deployment in one place. ``local`` trusts its only visitor, ``public`` trusts none."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from liar.errors import InvalidSpecError
from liar.presets import DEMO, PRESETS
from liar.spec import AUTO, PruneSpec
from liar.tasks.mixes import OWN_TEXT
from liar.tasks.registry import TASKS, task_named
from liar.tasks.texts import TEXTS as DEMO_TEXTS

ProfileName = Literal["local", "public"]

TEXTS = (
    AUTO,
    OWN_TEXT,
    *(text.id for text in DEMO_TEXTS),
    *(task.name for task in TASKS if task.is_bundled and not task.is_running),
)
"""Calibration texts of the demo bundle: its texts, and the texts of its tasks with their labels."""


class Profile(BaseModel):
    """Limits of what visitors may request. Each number is a maximum. Defaults are those of a public page, so that a new
    limit holds there until it is lifted.

    ``any_model`` and ``any_text`` allow every id, folder and file in addition to ``models`` and :data:`TEXTS`,
    ``any_device`` every device and dtype in addition to ``auto``; ``may_name_folder`` lets a visitor save a model in any
    folder of the server, ``may_serve_tools`` lets the page be an MCP server, whose callers all have one address, so that one
    of them could use up the starts of all. ``starts``: how often one visitor may start a job, in the notation of the library
    limits ("": no limit), ``starts_of_address``: how often all visitors behind one address may, such as a class.
    ``runs``: runs of one sweep; the page proposes four ratios of all reconstructions.
    ``model_bytes``: models in memory (0: a quarter of the machine's).
    ``saved_bytes``: zips of saved models on disk, the one being written included. ``body_bytes``: size of a
    request. ``sessions``: visitors whose state is kept. ``unread``: answers that a visitor may leave unfetched.
    ``preloads``: the model that the page opens with is loaded as soon as the page is up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ProfileName
    models: tuple[str, ...] = tuple(preset.id for preset in PRESETS if preset.id.startswith(DEMO))
    any_model: bool = False
    any_text: bool = False
    any_device: bool = False
    may_delete: bool = False
    may_name_folder: bool = False
    may_serve_tools: bool = False
    tokens: int = 16_384
    sequence_length: int = 512
    evaluate_limit: int = 400
    evaluate_length: int = 512
    runs: int = 20
    prompt_characters: int = 500
    new_tokens: int = 96
    waiting_jobs: int = 32
    starts: str = "12 per 10 minutes; 40 per hour"
    starts_of_address: str = "120 per 10 minutes; 400 per hour"
    model_bytes: int = 1_500_000_000
    saved_bytes: int = 2_000_000_000
    body_bytes: int = 65_536
    sessions: int = 300
    unread: int = 64
    preloads: bool = True

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        """Require a pinned commit of every model that a profile without ``any_model`` offers."""
        pinned = {preset.id for preset in PRESETS if preset.is_pinned}
        loose = [id for id in self.models if id not in pinned]
        if loose and not self.any_model:
            raise ValueError(f"{', '.join(loose)}: give the commit as the revision of the preset before offering it.")
        return self

    def check(self, spec: PruneSpec) -> None:
        """Raise :class:`InvalidSpecError` if the profile does not allow ``spec``; called before every load and run."""
        elsewhere = "run LIAR at home for that."
        if not self.any_model and spec.model not in self.models:
            raise InvalidSpecError(f"This page does not offer the model {spec.model[:80]!r}; {elsewhere}")
        if not self.any_text and (other := next((text for text in spec.sources if text not in TEXTS), None)):
            raise InvalidSpecError(f"This page does not read the text {other[:80]!r}; {elsewhere}")
        if not self.any_text and spec.vocabulary is not None and not spec.vocabulary.isdecimal():
            raise InvalidSpecError(f"This page keeps a number of tokens, not those of a text of your own; {elsewhere}")
        if not self.any_text and (
            spec.data is not None or not all(task_named(name).is_bundled for name in spec.evaluate)
        ):
            raise InvalidSpecError(f"This page measures only the tasks of the demo texts; {elsewhere}")
        if not self.any_device and (spec.device, spec.dtype) != (AUTO, AUTO):
            raise InvalidSpecError(f"This page chooses device and dtype itself; leave them out, or {elsewhere}")
        for name in ("tokens", "sequence_length", "evaluate_limit", "evaluate_length"):
            asked, most = getattr(spec, name), getattr(self, name)
            if asked not in (None, AUTO) and asked > most:
                raise InvalidSpecError(
                    f"This page takes at most {most:,} for {name}, not {asked:,}; take fewer, or {elsewhere}"
                )


PUBLIC = Profile(name="public")

LOCAL = Profile(
    name="local",
    models=tuple(preset.id for preset in PRESETS),
    any_model=True,
    any_text=True,
    any_device=True,
    may_delete=True,
    may_name_folder=True,
    may_serve_tools=True,
    tokens=10_000_000,
    sequence_length=131_072,
    evaluate_limit=1_000_000,
    evaluate_length=131_072,
    runs=40,
    prompt_characters=2_000,
    new_tokens=200,
    starts="",
    starts_of_address="",
    model_bytes=0,
    saved_bytes=8_000_000_000,
    body_bytes=4_000_000,
    sessions=1_000,
    unread=1_000,
    preloads=False,
)

PROFILES: dict[ProfileName, Profile] = {"local": LOCAL, "public": PUBLIC}


def profile_of(named: ProfileName | None, server: str, space: str | None) -> Profile:
    """The profile ``named``; if None, public on the Space ``space`` or if others can reach ``server``, else local."""
    if named is not None:
        return PROFILES[named]
    return PUBLIC if space or not _is_loopback(server) else LOCAL


def serves_tools(profile: Profile, asked: bool) -> bool:
    """Whether the page is an MCP server as well, as ``asked``; raises :class:`InvalidSpecError` if it cannot be one."""
    if not asked:
        return False
    if not profile.may_serve_tools:
        raise InvalidSpecError(
            "A public page is no MCP server, since all callers of its tools would share one limit; unset GRADIO_MCP_SERVER, "
            "or trust every visitor with --profile local."
        )
    if find_spec("mcp") is None:
        raise InvalidSpecError(
            'An MCP server needs the package mcp; pip install "gradio[mcp]", or unset GRADIO_MCP_SERVER.'
        )
    return True


def _is_loopback(server: str) -> bool:
    try:
        return ip_address(server.strip("[]")).is_loopback
    except ValueError:
        return server == "localhost"

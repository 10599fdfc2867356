"""Push the smaller model to a repository of the visitor, who has signed in to the Hub; the server's own token is not used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.job_bodies import stored, with_models
from components.shared.job_button import RememberedJobButton
from components.shared.panel import QUEUED, UNQUEUED, Updates
from liar.errors import InvalidSpecError, LiarError
from liar.events import Progress
from liar.report.export import file_stem
from liar.results import RunResult
from server.job import HandOut, Job, Snapshot

if TYPE_CHECKING:  # these load torch, which takes seconds
    from components.shared.studio import Bus, Studio
    from liar.models.variants import Variants
    from liar.save.push import Credential


class PushPanel:
    """Panel of a job that saves the model in the number format ``dtype``, loads it again and uploads it."""

    def __init__(self, studio: Studio, bus: Bus, dtype: gr.Radio) -> None:
        self.studio, self.bus, self.dtype = studio, bus, dtype
        gr.HTML(
            "<h3>To the Hub</h3><p>The same files, in a model repository of your account. You sign in at the Hub, which gives "
            "this page a key to the repositories that it makes for you, and to no other.</p>",
            elem_classes=["caption"],
        )
        with gr.Row(elem_id="push-settings"):
            gr.LoginButton(logout_value="Sign out ({})", icon=None, size="md", min_width=220, elem_id="push-sign-in")
            self.repo = gr.Textbox(
                label="Repository",
                info="A name, or owner/name; a new one is made.",
                max_lines=1,
                min_width=220,
                elem_id="push-repo",
            )
            self.private = gr.Checkbox(False, label="Private", min_width=120)
        self.work = RememberedJobButton(studio.jobs, "Push to the Hub", "push", "push:")

    def wire(self) -> None:
        inputs: list[Block] = [self.bus.shown, self.dtype, self.repo, self.private]
        pushing = self.work.button.click(self.push, inputs, self.work.outputs, trigger_mode="once", **QUEUED)
        self.bus.shown.change(self.clear, None, self.work.outputs, cancels=[pushing], **UNQUEUED)

    def resume_with(self, event: Any) -> None:
        """After ``event`` (the opening of the page), watch the push of this browser if it has not ended."""
        self.work.resume_with(event, self._watch, self.work.outputs)

    # -- events -------------------------------------------------------------------------------------------------

    def push(
        self, key: str, dtype: str, repo: str | None, private: bool, request: gr.Request, login: gr.OAuthToken | None
    ) -> Iterator[Updates]:
        """Start a job that pushes the model of the run ``key`` to ``repo``, and watch it."""
        try:
            result = stored(self.studio, key)
            if login is None:
                raise InvalidSpecError("Sign in first: the model goes to your own account.")
            from liar.save.push import Credential  # torch takes seconds to load

            name = (repo or "").strip() or file_stem(result.spec)
            title, credential = f"Pushing {file_stem(result.spec)}", Credential.of_login(login.token)
            # The session is part of the key, so that nobody joins the push of another account.
            key = f"{request.session_hash}:{key}:{dtype}:{name}:{private}"
            job = self.work.submit(request, key, title, lambda: self._pushing(result, dtype, name, private, credential))
        except LiarError as error:
            yield self.work.idle(status.problem(str(error)))
            return
        yield from self._watch(job, request)

    def clear(self) -> Updates:
        """Clear the line when another run is shown."""
        return {**self.work.idle(""), self.work.job: ""}

    def _watch(self, job: Job, request: gr.Request) -> Iterator[Updates]:
        for snapshot, line in self.work.follow(job, request):
            yield self.work.idle(_end(snapshot)) if snapshot.ended else line

    # -- in the worker ------------------------------------------------------------------------------------------

    def _pushing(
        self, result: RunResult, dtype: str, repo: str, private: bool, login: Credential
    ) -> Generator[Progress | HandOut[str], None, None]:
        from liar.jobs.plan import saving_parts
        from liar.save.push import find_destination, push_checkpoint

        yield Progress("save", 0, 1, f"Asking the Hub about {repo}")
        destination = find_destination(repo, private=private, credential=login)
        with TemporaryDirectory(prefix="liar-push-") as place:
            folder = Path(place, file_stem(result.spec))
            yield from with_models(
                self.studio,
                result,
                lambda variants: self._written(variants, result, dtype, folder),
                lambda shape: sum(part.cost for part in saving_parts(4 * shape.blocks, packed=False)),
            )
            yield Progress("save", 1, 1, f"Uploading to {destination.repo}")
            yield HandOut(push_checkpoint(folder, destination, credential=login, again="press Push again"))

    def _written(
        self, variants: Variants, result: RunResult, dtype: str, folder: Path
    ) -> Generator[Progress, None, None]:
        from liar.save.deliver import saving_steps

        with variants.using("reconstructed") as loaded:
            yield from saving_steps(loaded, folder, result, dtype=dtype)


def _end(snapshot: Snapshot) -> str:
    address = snapshot.latest(str)
    stopped = "Stopped. Nothing was pushed." if address is None else f"It was at {address} already."
    return status.end(snapshot, done=f"It is at {address}.", stopped=stopped)

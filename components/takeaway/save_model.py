"""Save the smaller model: check that it loads again, then offer it as a zip, leave it in a folder, or push it to the Hub."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.downloads import served_folder
from components.shared.job_bodies import stored, with_models
from components.shared.job_button import JobButton, in_one_sentence
from components.shared.panel import QUEUED, UNQUEUED, Updates
from liar.errors import InvalidSpecError, StorageError
from liar.events import Progress
from liar.files import check_new_folder, pack
from liar.report.export import file_stem
from liar.report.exported import Format, Weights
from liar.results import RunResult
from server.job import Snapshot
from server.login import offers_login

if TYPE_CHECKING:  # these load torch, which takes seconds
    from components.shared.studio import Bus, Studio
    from liar.jobs.estimates import Estimate
    from liar.models.loaded import LoadedModel
    from liar.models.variants import Variants
    from liar.save.deliver import Delivered
    from liar.save.push import Credential

_BESIDE_WEIGHTS = 40_000_000
"""Most bytes of a checkpoint's other files; large vocabularies take most of them."""

_CHECKPOINT = "checkpoint"
_FORMS = [
    ("PyTorch", _CHECKPOINT),
    ("ONNX: onnxruntime, browsers", "onnx"),
    ("OpenVINO", "openvino"),
    ("GGUF: llama.cpp, Ollama", "gguf"),
    ("vLLM", "vllm"),
]
_AS_COMPUTED, _INT8, _FLOAT16 = ("As computed", "auto"), ("8 bits", "int8"), ("float16", "float16")
_DTYPES = {
    _CHECKPOINT: [_AS_COMPUTED, ("bfloat16", "bfloat16"), _FLOAT16],
    "onnx": [_AS_COMPUTED, _INT8],
    "openvino": [_AS_COMPUTED, _FLOAT16, _INT8],
    "gguf": [_AS_COMPUTED, _FLOAT16, _INT8],
    "vllm": [_AS_COMPUTED, _FLOAT16],
}
_WEIGHTS: Mapping[str, Weights] = {"auto": "fp32", "float16": "fp16", "int8": "int8"}


@dataclass(frozen=True, slots=True)
class Ready:
    """Value that the job hands out at its end: one sentence, and the zip to download, if any."""

    sentence: str
    archive: Path | None


class SavingPanel:
    """Panel of a job that saves the model and, at its end, offers a zip to download."""

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.studio, self.bus = studio, bus
        gr.HTML(
            "<h3>The smaller model</h3><p>Weights, config, tokenizer and a model card of the reconstructed model. It is loaded "
            "again in a fresh process, without this program, before you get it.</p>",
            elem_classes=["caption"],
        )
        with gr.Row(elem_id="save-settings"):
            self.form = gr.Radio(
                _FORMS,
                value=_CHECKPOINT,
                label="For",
                info="ONNX, OpenVINO and GGUF bring no code, even where layers differ in width; GGUF and vLLM are for a LLaMA.",
                min_width=260,
            )
            self.dtype = gr.Radio(
                _DTYPES[_CHECKPOINT],
                value="auto",
                label="Number format",
                info="Sixteen bits take half the bytes; the weights are rounded after the repair.",
                min_width=260,
            )
            self.folder = gr.Textbox(
                label="Folder",
                info="A new folder on this computer; without one a zip is made to download.",
                max_lines=1,
                visible=studio.profile.may_name_folder,
                min_width=260,
            )
        self.work = JobButton(studio.jobs, "Save the model", "save", "save:", _end, remembered=True)
        self.ready = gr.DownloadButton("Download", visible=False, size="md", elem_id="save-ready")
        self.pushing = PushPanel(studio, bus, self.dtype) if offers_login() else None
        self.outputs: list[Block] = [*self.work.outputs, self.ready]

    def wire(self, opened: Any) -> None:
        """Connect the button; after ``opened`` (the opening of the page), watch the job of this browser if it goes on."""
        inputs: list[Block] = [self.bus.shown, self.form, self.dtype, self.folder]
        self.form.change(self.offer, self.form, self.dtype, **UNQUEUED)
        saving = self.work.button.click(self.save, inputs, self.outputs, trigger_mode="once", **QUEUED)
        # Only the watching is cancelled: the job of the former run goes on, and a reloaded page watches it again.
        self.bus.shown.change(self.clear, None, self.outputs, cancels=[saving], **UNQUEUED)
        self.work.resume_with(opened, self.outputs, self._show)
        if self.pushing is not None:
            self.pushing.wire(opened)

    # -- events -------------------------------------------------------------------------------------------------

    def offer(self, form: str) -> Updates:
        """The number formats of a form."""
        return {self.dtype: gr.update(choices=_DTYPES.get(form, _DTYPES[_CHECKPOINT]), value="auto")}

    @in_one_sentence
    def save(self, key: str, form: str, dtype: str, folder: str | None, request: gr.Request) -> Iterator[Updates]:
        """Start a job that saves the model of the run ``key`` in this form, and watch it."""
        result = stored(self.studio, key)
        if form not in _DTYPES or dtype not in [name for _, name in _DTYPES[form]]:
            raise InvalidSpecError("Choose one of the forms and one of its number formats.")
        named = (folder or "").strip() if self.studio.profile.may_name_folder else ""
        target = Path(named).expanduser() if named else None
        check_new_folder(target)
        key, title = f"{key}:{form}:{dtype}:{target}", f"Saving {file_stem(result.spec)}"
        yield from self.work.run(request, key, title, lambda: self._saving(result, form, dtype, target), self._show)

    def clear(self) -> Updates:
        """Clear line and download when another run is shown."""
        return {**self.work.idle(""), self.work.job: "", self.ready: gr.update(visible=False)}

    def _show(self, snapshot: Snapshot) -> Updates:
        ready = snapshot.latest(Ready)
        if ready is None or ready.archive is None:
            return {self.ready: gr.update(visible=False)}
        label = f"Download {ready.archive.name} ({ready.archive.stat().st_size / 1e6:,.1f} MB)"
        return {self.ready: gr.update(value=str(ready.archive), label=label, visible=True)}

    # -- in the worker ------------------------------------------------------------------------------------------

    def _saving(
        self, result: RunResult, form: str, dtype: str, target: Path | None
    ) -> Generator[Progress | Ready, None, None]:
        stem = file_stem(result.spec) if form == _CHECKPOINT else f"{file_stem(result.spec)}-{form}"
        folder = target or served_folder(self.ready, "models", f"{result.spec.key}-{form}-{dtype}") / stem
        archive = None if target else folder.with_name(f"{stem}.zip")

        def make_room(variants: Variants, loaded: LoadedModel) -> None:
            from liar.save.deliver import weight_bytes_as

            place, needed = folder.parent, 2.1 * variants.bytes  # of the model and its zip at the same time
            if (free := shutil.disk_usage(place).free) < needed:
                raise StorageError(
                    f"Saving takes {needed / 1e9:.1f} GB in {place}, where {free / 1e9:.1f} GB are free; make room there."
                )
            if archive is not None:
                packed = weight_bytes_as(loaded, "auto" if dtype == "int8" else dtype) + _BESIDE_WEIGHTS
                _bound(folder.parent.parent, packed, self.studio.profile.saved_bytes)

        try:
            if form != _CHECKPOINT:
                yield Ready((yield from self._exporting(result, form, dtype, folder, archive, make_room)), archive)
                return
            delivered = yield from _written(self.studio, result, dtype, folder, archive, make_room)
        finally:
            if archive is not None:
                shutil.rmtree(folder, ignore_errors=True)
        if archive is not None:  # name the folder that the zip unpacks to, not the path on the server
            delivered = replace(delivered, saved=replace(delivered.saved, folder=Path(stem)))
        yield Ready(delivered.sentence, archive)

    def _exporting(
        self,
        result: RunResult,
        form: str,
        dtype: str,
        folder: Path,
        archive: Path | None,
        check: Callable[[Variants, LoadedModel], None],
    ) -> Generator[Progress, None, str]:
        """Write the checkpoint to a scratch folder, and it for another runtime to ``folder``; returns a sentence."""
        from liar.export.exporting import apart, check_request

        to, weights = cast("Format", form), _WEIGHTS[dtype]
        check_request(to, weights, folder)
        with TemporaryDirectory(prefix="liar-export-") as place:
            saved = Path(place, file_stem(result.spec))
            yield from _written(self.studio, result, "auto", saved, check=check)
            record = yield from apart(saved, to, folder, weights)
        if archive is not None:
            yield Progress("save", 1, 1, f"Packing {archive.name}")
            pack(folder, archive)
        return " ".join((*record.sentences, "README.md or export.json in it has the lines that load it."))


def _written(
    studio: Studio,
    result: RunResult,
    dtype: str,
    folder: Path,
    archive: Path | None = None,
    check: Callable[[Variants, LoadedModel], None] = lambda *_: None,
) -> Generator[Progress, None, Delivered]:
    """In the worker: once they have passed the ``check``, write the models of a run to ``folder`` and to ``archive``."""
    from liar.jobs.plan import saving_parts
    from liar.save.deliver import saving_steps

    def write(variants: Variants) -> Generator[Progress, None, Delivered]:
        with variants.using("reconstructed") as loaded:
            check(variants, loaded)
            return (yield from saving_steps(loaded, folder, result, dtype=dtype, archive=archive))

    def cost(estimate: Estimate) -> float:
        return sum(part.cost for part in saving_parts(4 * estimate.blocks, packed=archive is not None))

    return (yield from with_models(studio, result, write, cost))


def _bound(folder: Path, needed: int, most: int) -> None:
    """Delete the oldest zips in the folders of ``folder`` until ``needed`` bytes more are at most ``most``.

    Raises :class:`StorageError` if ``needed`` alone are more, and then deletes none.
    """
    if needed > most:
        raise StorageError(
            f"The zip may take {needed / 1e9:.2f} GB, and this page keeps at most {most / 1e9:.2f} GB; choose sixteen bits, or "
            "a smaller model."
        )
    size = needed
    for path in sorted(folder.glob("*/*.zip"), key=lambda path: path.stat().st_mtime, reverse=True):
        size += path.stat().st_size
        if size > most:
            path.unlink()


def _end(snapshot: Snapshot) -> str:
    ready = snapshot.latest(Ready)
    sentence = ready.sentence if ready else "Stopped. Nothing was saved."
    return status.end(snapshot, done=sentence, stopped=sentence)


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
        self.work = JobButton(studio.jobs, "Push to the Hub", "push", "push:", _pushed, remembered=True)

    def wire(self, opened: Any) -> None:
        """Connect the button; after ``opened`` (the opening of the page), watch the push of this browser if it goes on."""
        inputs: list[Block] = [self.bus.shown, self.dtype, self.repo, self.private]
        pushing = self.work.button.click(self.push, inputs, self.work.outputs, trigger_mode="once", **QUEUED)
        self.bus.shown.change(self.clear, None, self.work.outputs, cancels=[pushing], **UNQUEUED)
        self.work.resume_with(opened, self.work.outputs)

    # -- events -------------------------------------------------------------------------------------------------

    @in_one_sentence
    def push(
        self, key: str, dtype: str, repo: str | None, private: bool, request: gr.Request, login: gr.OAuthToken | None
    ) -> Iterator[Updates]:
        """Start a job that pushes the model of the run ``key`` to ``repo``, and watch it."""
        result = stored(self.studio, key)
        if login is None:
            raise InvalidSpecError("Sign in first: the model goes to your own account.")
        from liar.save.push import Credential  # torch takes seconds to load

        name = (repo or "").strip() or file_stem(result.spec)
        title, credential = f"Pushing {file_stem(result.spec)}", Credential.of_login(login.token)
        # The session is part of the key, so that nobody joins the push of another account.
        key = f"{request.session_hash}:{key}:{dtype}:{name}:{private}"
        yield from self.work.run(request, key, title, lambda: self._pushing(result, dtype, name, private, credential))

    def clear(self) -> Updates:
        """Clear the line when another run is shown."""
        return {**self.work.idle(""), self.work.job: ""}

    # -- in the worker ------------------------------------------------------------------------------------------

    def _pushing(
        self, result: RunResult, dtype: str, repo: str, private: bool, login: Credential
    ) -> Generator[Progress | str, None, None]:
        from liar.save.push import find_destination, push_checkpoint

        yield Progress("save", 0, 1, f"Asking the Hub about {repo}")
        destination = find_destination(repo, private=private, credential=login)
        with TemporaryDirectory(prefix="liar-push-") as place:
            folder = Path(place, file_stem(result.spec))
            yield from _written(self.studio, result, dtype, folder)
            yield Progress("save", 1, 1, f"Uploading to {destination.repo}")
            yield push_checkpoint(folder, destination, credential=login, again="press Push again")


def _pushed(snapshot: Snapshot) -> str:
    address = snapshot.latest(str)
    stopped = "Stopped. Nothing was pushed." if address is None else f"It was at {address} already."
    return status.end(snapshot, done=f"It is at {address}.", stopped=stopped)

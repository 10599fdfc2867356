"""A static page that runs two models side by side, in int8, by onnxruntime in WebAssembly.

Any web host serves it; it asks nothing of any other. Classifiers show their label, embedders the nearest of some hundred
articles, whose vectors are written here by the same files that the browser reads.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import FileSystemLoader
from markupsafe import Markup
from transformers import PreTrainedTokenizerFast

from liar.errors import InvalidSpecError, UnsupportedModelError
from liar.evaluate.answering.nearest import beginning, leads
from liar.events import Progress
from liar.export import parity
from liar.export.browser.browser_runtime import fetch_runtime, npm, runtime_folder
from liar.export.exporting import check_request, exported
from liar.export.onnx import onnx_run
from liar.files import whole_folder
from liar.loading.catalog import folder_of, load_model
from liar.models.heads import class_names, problem_of
from liar.models.loaded import LoadedModel
from liar.report.exported import Export
from liar.report.pages.html import ENVIRONMENT
from liar.report.pages.model_picture import model_picture
from liar.results import RunResult
from liar.runtime.environment import readable_failures
from liar.runtime.memory import PlannedWork
from liar.save.checkpoint import RESULT_FILE
from liar.tasks.samples import Sample
from liar.tasks.texts import WIKIPEDIA

_HERE = Path(__file__).parent
_PAGES = ENVIRONMENT.overlay(loader=FileSystemLoader([_HERE, _HERE.parents[1] / "report" / "pages"]))
_EXAMPLES, _LENGTH = 6, 128
"""Texts to begin with, and most tokens of a text."""


@dataclass(frozen=True, slots=True)
class PageOfModels:
    """What was written: the records of both models, and the number of ``bytes`` of the whole page."""

    models: tuple[Export, ...]
    bytes: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """For the user: what was written and what was compared."""
        each = (f"{record.source}: {' '.join(record.sentences)}" for record in self.models)
        return (*each, f"The page has {self.bytes / 1e6:,.1f} MB, and asks no other host for anything.")


def page_steps(models: Sequence[str], out: Path) -> Generator[Progress, None, PageOfModels]:
    """Write a page with two ``models``, the whole one and the smaller one, to the new folder ``out``.

    Raises :class:`InvalidSpecError` if there are not two of a kind, :class:`UnsupportedModelError` for one that is neither a
    classifier nor an embedder, :class:`DownloadError` for a runtime that cannot be fetched, and what :func:`export_steps` does.
    """
    check_request("onnx", "int8", out)
    npm()
    if len(models) != 2:
        raise InvalidSpecError("A page shows two models side by side: name the whole one and the smaller one.")
    with readable_failures(), whole_folder(out) as partial:
        for words in fetch_runtime():
            yield Progress("load", 0, 2, words)
        shutil.copytree(runtime_folder(), partial / "runtime")
        (partial / "models").mkdir()
        records: list[Export] = []
        about: list[dict[str, Any]] = []
        for number, model in enumerate(models):
            yield Progress("load", number, 2, f"Loading {model}")
            loaded = load_model(model, "cpu", "float32", work=PlannedWork(prunes=False))
            kind = _kind(loaded)
            if about and about[0]["kind"] != kind:
                raise InvalidSpecError(
                    f"{models[0]} and {model} do not answer the same question, so they cannot be compared; name a model and "
                    "the folder of its pruned copy."
                )
            record = yield from _of_two(number, exported(loaded, "onnx", partial / "models" / str(number), "int8"))
            records.append(record)
            about.append(_about(loaded, kind, record, number))
            if loaded.embedder is not None:
                yield Progress("save", number, 2, f"Reading {len(leads())} articles with {record.source}")
                _vectors(loaded, partial / "models" / str(number) / record.files[0]).tofile(
                    partial / "models" / str(number) / "vectors.bin"
                )
        _write_page(partial, about, _examples(loaded), _picture(loaded))
        size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    return PageOfModels(tuple(records), size)


def _of_two(number: int, steps: Generator[Progress, None, Export]) -> Generator[Progress, None, Export]:
    """The progress of both models, of which ``number`` are done."""
    while True:
        try:
            each = next(steps)
        except StopIteration as end:
            record: Export = end.value
            return record
        share, left = each.share, each.seconds_left
        if share is not None and left is not None and share < 1:
            left += (1 - number) * left / (1 - share)
        yield replace(each, share=None if share is None else (number + share) / 2, seconds_left=left)


def _kind(loaded: LoadedModel) -> dict[str, object]:
    """What both models must have in common; raises :class:`UnsupportedModelError` for others."""
    if loaded.embedder is not None:
        return {"labels": None, "pair": False}
    config = loaded.model.config
    if loaded.is_language_model:
        why = "a language model writes text, and has many times the bytes of a classifier"
    elif loaded.head != "sequence-classification" or problem_of(config) != "single-label":
        why = "it gives no label of a text"
    elif not isinstance(loaded.tokenizer, PreTrainedTokenizerFast):
        why = "its tokenizer has no tokenizer.json"
    else:
        pair = any(sample.pair for sample in _examples(loaded))
        return {"labels": class_names(config), "pair": pair}
    raise UnsupportedModelError(
        f"{loaded.id} is not for this page, which takes classifiers and embedders: {why}. Export it to onnx, openvino or gguf."
    )


def _examples(loaded: LoadedModel) -> list[Sample]:
    return parity.texts_for(loaded, _EXAMPLES)


def _about(loaded: LoadedModel, kind: dict[str, object], record: Export, number: int) -> dict[str, Any]:
    """What the script reads of a model."""
    positions = getattr(loaded.model.config, "max_position_embeddings", _LENGTH)
    return {
        "kind": kind,
        "name": record.source,
        "parameters": sum(each.numel() for each in loaded.model.parameters()),
        "bytes": record.bytes,
        "folder": f"models/{number}",
        "file": record.files[0],
        "length": min(_LENGTH, positions),
        "types": parity.needs_types(loaded),
        "prompt": "" if loaded.embedder is None else loaded.embedder.prompt_of("query"),
        "checks": [check.sentence for check in record.checks],
    }


def _vectors(loaded: LoadedModel, path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Unit vectors (articles, dimensions) of :func:`leads` by the file that the browser reads."""
    embedder = loaded.embedder
    assert embedder is not None
    run, prompt = onnx_run(path, torch.get_num_threads()), embedder.prompt_of("document")
    samples = [Sample(prompt + article.extract) for article in leads()]
    found = [run(feed)["sentence_embedding"] for feed in parity.feeds(loaded, samples, 1)]
    return torch.cat(found).numpy().astype(np.float32)


def _picture(loaded: LoadedModel) -> Markup:
    """The drawing of a pruned model: what stays of it; nothing for a model without the record of its run."""
    folder = folder_of(loaded.id)
    path = None if folder is None else folder / RESULT_FILE
    if path is None or not path.is_file():
        return Markup("")
    result = RunResult.model_validate_json(path.read_text(encoding="utf-8"))
    return Markup(model_picture(result.sites, result.spec.reconstruction, loaded.adapter.sites()))


def _write_page(folder: Path, about: list[dict[str, Any]], samples: list[Sample], picture: Markup) -> None:
    kind = about[0]["kind"]
    is_search = kind["labels"] is None
    articles = [{"title": lead.title, "text": beginning(lead.extract)} for lead in (leads() if is_search else ())]
    examples = [[sample.text, sample.pair or ""] if kind["pair"] else [sample.text] for sample in samples]
    shown = {
        "models": about,
        "examples": examples,
        "is_search": is_search,
        "is_pair": kind["pair"],
        "picture": picture,
        "credit": WIKIPEDIA.credit if is_search else None,
        "data": {"models": about, "examples": examples, "articles": articles},
    }
    plain: dict[str, Any] = {"variants": (), "colours": {}}
    style = [_PAGES.get_template(name).render(plain) for name in ("report.css.j2", "browser.css")]
    (folder / "page.css").write_text("".join(style), encoding="utf-8")
    shutil.copyfile(_HERE / "browser.js", folder / "page.js")
    (folder / "index.html").write_text(_PAGES.get_template("browser.html.j2").render(shown), encoding="utf-8")

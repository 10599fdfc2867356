"""What stands beside exported weights: config, tokenizer, licence, record and model card."""

from __future__ import annotations

import json
from pathlib import Path

from liar.loading.catalog import folder_of
from liar.loading.notices import copy_notices
from liar.loading.weights import auto_class
from liar.models.loaded import LoadedModel
from liar.models.skeleton import model_class
from liar.report.exported import RECORD, Export
from liar.results import RunResult
from liar.runtime.quiet import quiet_transformers
from liar.save.checkpoint import CARD_FILE, RESULT_FILE, encoder_of, save_tokenizer
from liar.save.model_card import Elsewhere, model_card


def write_config(loaded: LoadedModel, folder: Path) -> None:
    """The config of the family without the sizes of ragged layers, which a graph holds."""
    own = model_class(loaded.model)
    config = json.loads(loaded.model.config.to_json_string(use_diff=False))
    for name in ("auto_map", "linears", "attributes", "_name_or_path"):
        config.pop(name, None)
    config |= {"model_type": own.config_class.model_type, "architectures": [own.__name__]}
    save_config(config, folder)


def save_config(config: dict[str, object], folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_tokenizer(loaded: LoadedModel, folder: Path) -> None:
    """The tokenizer, and what sentence-transformers keeps beside the weights."""
    with quiet_transformers():
        save_tokenizer(loaded.tokenizer, folder)
    for name, content in loaded.beside.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write_papers(loaded: LoadedModel, record: Export, folder: Path) -> None:
    """Licence and notices of the folder that is exported, its run, and a card that says how this form is loaded."""
    (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    source = folder_of(loaded.id)
    if source is None:
        return
    notices = copy_notices(source, folder)
    if not (source / RESULT_FILE).is_file():
        return
    text = (source / RESULT_FILE).read_text(encoding="utf-8")
    (folder / RESULT_FILE).write_text(text, encoding="utf-8")
    checked = "\n".join(f"- {check.sentence}" for check in record.checks)
    card = model_card(
        RunResult.model_validate_json(text),
        str(auto_class([plain_class(loaded)]).__name__),
        trust=False,
        notices=notices,
        encoder=encoder_of(loaded),
        elsewhere=Elsewhere(record.format, record.code, f"Compared with torch when it was written:\n\n{checked}"),
    )
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def plain_class(loaded: LoadedModel) -> str:
    """The class of the family, such as ``BertForSequenceClassification``."""
    return str(model_class(loaded.model).__name__)

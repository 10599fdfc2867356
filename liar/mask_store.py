"""The mask tables that are kept: one JSON file a table, named by its spec's key, so that a link finds its table again."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from pydantic import ValidationError

from liar.files import keep_in
from liar.results import MaskTable
from liar.spec import PruneSpec

log = logging.getLogger(__name__)

_KEY = re.compile(r"[0-9a-f]{64}")


def spec_of_table(spec: PruneSpec) -> PruneSpec:
    """``spec`` without what no mask table depends on: recipes that differ in nothing else share their table."""
    defaults = PruneSpec()
    return spec.model_copy(update={name: getattr(defaults, name) for name in ("criterion", "schedule", "quantize")})


class MaskTableStore:
    """Tables in ``folder``, addressed by the key of :func:`spec_of_table`. Files appear whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, table: MaskTable) -> Path:
        """Keep ``table`` in place of an older one; raises :class:`StorageError`."""
        return keep_in(self.folder, f"{spec_of_table(table.spec).key}.json", table.model_dump_json())

    def find(self, spec: PruneSpec) -> MaskTable | None:
        """The table of a recipe, else None. One that names its model's own task has the table of one that names none."""
        named = spec_of_table(spec)
        if (table := self.load(named.key)) is not None or not spec.evaluate:
            return table
        unnamed = self.load(named.model_copy(update={"evaluate": ()}).key)
        tasks = {cell.task for cell in unnamed.cells} if unnamed else set()
        return unnamed if tasks == {spec.evaluate[0]} else None

    def load(self, key: str) -> MaskTable | None:
        """The table with this key, else None; a damaged file counts as none."""
        if not _KEY.fullmatch(key):
            return None
        path = self.folder / f"{key}.json"
        try:
            return MaskTable.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("Skipped the damaged mask table %s: %s", path, str(error).splitlines()[0])
            return None

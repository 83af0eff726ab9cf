"""What a report is made from, opened and checked to belong together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmq.data._item_ids import are_alike
from mmq.data._parquet import CatalogueFile
from mmq.errors import DataError
from mmq.semantic_ids import SemanticIDs, TokenizerRef, build_manifest, require_same_tokenizer
from mmq.semantic_ids._manifest import append_command, is_imported, known_positions
from mmq.tokenizers import Tokenizer

if TYPE_CHECKING:
    from mmq.tokenizers import Tokenizer


class Sources(NamedTuple):
    """A table and, where they were given, what it was made from.

    Attributes:
        name: the table's file name.
        ids: the table.
        catalogue: its catalogue, opened and not read.
        rows: ``(catalogue items,)`` row of each catalogue item in the table, -1 for none.
        tokenizer: the tokenizer that gave the codes.
        warnings: sentences on what does not quite fit.
    """

    name: str
    ids: SemanticIDs
    catalogue: CatalogueFile | None
    rows: np.ndarray
    tokenizer: Tokenizer[Any] | None
    warnings: tuple[str, ...]

    @property
    def positions(self) -> dict[str, list[int]] | None:
        """Group ("shared" or a modality) -> its positions; None where it is not known."""
        if self.tokenizer is not None:
            return self.tokenizer.positions
        return known_positions(self.ids.manifest)

    @property
    def groups(self) -> dict[str, list[int]]:
        """Name -> positions that go together: expert groups, or each codebook by itself."""
        if self.positions is not None:
            return self.positions
        return {f"codebook {position + 1}": [position] for position in range(self.ids.length)}


def open_sources(ids: Path, catalogue: Path | None, tokenizer: Path | None) -> Sources:
    """Open everything and check that it belongs together.

    Raises:
        DataError: a file is missing, or items of the table are not in the catalogue.
        FormatError: a file is damaged, or the tokenizer is not the one of the table.
    """
    table = SemanticIDs.read(ids)
    loaded = _tokenizer_of(table, tokenizer) if tokenizer is not None else None
    if catalogue is None:
        return Sources(ids.name, table, None, np.zeros(0, np.int64), loaded, ())
    file = CatalogueFile(catalogue)
    if loaded is not None:
        loaded.require_inputs(file)
    rows, warnings = _match(table, file)
    return Sources(ids.name, table, file, rows, loaded, warnings)


def _tokenizer_of(table: SemanticIDs, folder: Path) -> Tokenizer[Any]:

    from mmq._model_folder import fingerprint

    loaded: Tokenizer[Any] = Tokenizer.load(folder)
    reference = TokenizerRef(name=loaded.kind, fingerprint=fingerprint(folder))
    remedy = (
        "leave --tokenizer out"
        if is_imported(table.manifest)
        else "give the tokenizer that made this table"
    )
    require_same_tokenizer(
        table.manifest,
        build_manifest(loaded.codebook_sizes, tokenizer=reference),
        f"{folder} cannot explain them; {remedy}",
    )
    return loaded


def _match(table: SemanticIDs, file: CatalogueFile) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows of the catalogue's items in the table, and what is odd about them."""
    item_ids = file.item_ids()
    if not are_alike(item_ids.type, table.item_ids.type):
        raise DataError(
            f"item ids of {file.path} are {item_ids.type}, those of the table "
            f"{table.item_ids.type}; give the catalogue that the table was made from"
        )
    rows = table.find(item_ids)
    known = np.zeros(len(table), bool)
    known[rows[rows >= 0]] = True
    gone, new = int((~known).sum()), int((rows < 0).sum())
    if not known.any():
        raise DataError(
            f"{file.path} has none of the items of the table; give the catalogue that the table "
            "was made from"
        )
    recorded = table.manifest["catalogue"]
    same = recorded is None or file.has_fingerprint(recorded["fingerprint"])
    if gone and not same:
        first = table.item_ids[int(np.flatnonzero(~known)[0])].as_py()
        raise DataError(
            f"{gone:,} of the {len(table):,} items of the table are not in {file.path} (the first "
            f"is {first!r}); give the catalogue that the table was made from"
        )
    warnings = []
    if not same:
        warnings.append(
            f"{file.path.name} is not the catalogue that the table was made from (its content "
            "hash differs); titles, pictures and figures from it may not fit the codes"
        )
    if gone:
        where = "are not in the catalogue" if recorded is None else "have left the catalogue"
        warnings.append(f"{gone:,} items of the table {where}")
    if new:
        warnings.append(
            f"{new:,} items of {file.path.name} have no semantic ID yet; give them one with "
            f"{append_command(table.manifest)}"
        )
    return rows, tuple(warnings)

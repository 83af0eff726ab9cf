"""Semantic IDs made elsewhere -> an ID table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmq._artifacts import check_writable
from mmq.data._files import fingerprint, is_pattern
from mmq.errors import DataError, warn
from mmq.semantic_ids import SemanticIDs, build_manifest
from mmq.semantic_ids import append as append_to
from mmq.semantic_ids._imported import IdColumns, ImportedIds, read_ids
from mmq.semantic_ids._imported.appending import check_goes_after
from mmq.semantic_ids._imported.checks import (
    check_sizes,
    for_each_position,
    looks_numbered_through,
)
from mmq.semantic_ids._imported.columns import USUAL
from mmq.semantic_ids._manifest import ImportedRef, Manifest, tokenizer_name
from mmq.semantic_ids._table import read_manifest
from mmq.workflows._id_table import check_replaced
from mmq.workflows._run import locks_out


@dataclass(frozen=True)
class IdImport:
    """A file of semantic IDs, and what its codes are.

    Attributes:
        path: JSON, JSON Lines, CSV, TSV or Parquet.
        columns: which columns hold item ids and codes.
        codebook_sizes: of each position, or one for all; without, the largest code and one, or
            those of the table that is appended to.
        first_codes: the number of the first code of each position, or one for all.
    """

    path: str | Path
    columns: IdColumns = USUAL
    codebook_sizes: Sequence[int] = ()
    first_codes: Sequence[int] = (0,)

    @classmethod
    def of(cls, source: IdImport | str | Path) -> IdImport:
        """The file, or that of a path with the usual columns."""
        return source if isinstance(source, IdImport) else cls(source)


@locks_out
def import_ids(
    source: IdImport | str | Path,
    out: str | Path,
    *,
    append: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Figures of an ID table that was made of semantic IDs from elsewhere.

    Args:
        source: the file, and what its codes are.
        out: the table to write.
        append: an older imported table, to which new items are added; its rows stay as they are.
        force: replace a table of other inputs.

    Raises:
        DataError: codes that cannot be, an item with two IDs, or ``out`` holds something else.
        FormatError: a file is truncated or damaged.

    Example: ``import_ids("index.json", "ids.parquet")``
    """
    start, source, out = time.perf_counter(), IdImport.of(source), Path(out)
    check_writable(out, [] if is_pattern(source.path) else [source.path])
    _check_foreign(source.path)
    old = _old_table(append) if append else None
    found = read_ids(source.path, source.columns, source.first_codes)
    manifest = _manifest(source, found, old)
    check_replaced(out, manifest, append, force)
    ids, counts = _table(source, found, manifest, old)
    ids.write(out)
    return {
        **counts,
        "items": len(ids),
        "length": ids.length,
        "codebook_sizes": list(ids.codebook_sizes),
        "columns": list(found.columns),
        "out": str(out),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _check_foreign(path: str | Path) -> None:
    if read_manifest(path) is not None:
        raise DataError(f"{path} is an ID table of mmq already; give it to any verb as it is")


def _old_table(path: str | Path) -> SemanticIDs:
    old = SemanticIDs.read(path)
    if old.manifest["tokenizer"] is not None:
        raise DataError(
            f"the IDs of {path} were made by tokenizer {tokenizer_name(old.manifest)} of mmq; give "
            "new items theirs with mmq encode --append"
        )
    return old


def _manifest(source: IdImport, found: ImportedIds, old: SemanticIDs | None) -> Manifest:
    """What is said of the table: that of the old one, if there is one, and the file."""
    length = found.codes.shape[1]
    if old is not None and old.length != length:
        raise DataError(
            f"{source.path} has IDs of {length} codes, the table that they should go after has "
            f"IDs of {old.length}; give IDs of the same tokenizer"
        )
    ref = ImportedRef(
        file=Path(source.path).name,
        sha256=fingerprint(source.path),
        columns=list(found.columns),
        first_codes=for_each_position(source.first_codes, length, "--first-codes"),
    )
    if old is not None:
        return {**old.manifest, "imported": [*old.manifest.get("imported", []), ref]}
    return {**build_manifest(_sizes(source, found)), "imported": [ref]}


def _sizes(source: IdImport, found: ImportedIds) -> list[int]:
    if source.codebook_sizes:
        return for_each_position(source.codebook_sizes, found.codes.shape[1], "--codebook-sizes")
    if looks_numbered_through(found.codes):
        smallest = ", ".join(map(str, found.codes.min(axis=0).tolist()))
        warn(
            f"the smallest codes are {smallest}, each above all codes of the position before, as "
            "if codes were numbered through; if they are, say where each position starts, such as "
            "--first-codes 0,256,512"
        )
    return [largest + 1 for largest in found.codes.max(axis=0).tolist()]


def _table(
    source: IdImport, found: ImportedIds, manifest: Manifest, old: SemanticIDs | None
) -> tuple[SemanticIDs, dict[str, int]]:
    """The ID table, and how many rows were new, known already and left out as repeated."""
    sizes = manifest["codebook_sizes"]
    try:
        if old is None:
            check_sizes(found.codes, sizes, found.rows, "mend --codebook-sizes")
            ids = SemanticIDs.build(found.item_ids, found.codes, sizes, manifest)
            return ids, {"added": len(ids), "kept": 0, "repeated": found.repeated}
        if source.codebook_sizes and _sizes(source, found) != sizes:
            raise DataError(
                f"--codebook-sizes are not those of the old table, {sizes}, which models were "
                "trained on; leave them out"
            )
        check_goes_after(old, found)
        added = append_to(old, found.item_ids, found.codes, manifest)
    except DataError as error:
        raise DataError(f"{source.path}: {error}") from error
    return added.ids, {"added": added.added, "kept": added.kept, "repeated": found.repeated}

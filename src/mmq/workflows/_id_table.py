"""What both verbs that write an ID table ask of the place where it is to go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmq.made_from import check_same
from mmq.semantic_ids import Manifest
from mmq.semantic_ids._table import read_manifest


def check_replaced(out: Path, manifest: Manifest, append: str | Path | None, force: bool) -> None:
    """Raise :class:`~mmq.errors.DataError` if what stands there is no table of the same inputs.

    A table that was appended to names the last catalogue, as the one that it is appended to anew.

    Args:
        out: where the table is to go.
        manifest: of the table.
        append: the table that it goes on from, which may be replaced by it.
        force: whether anything is replaced.
    """
    if force or not out.exists() or (append and _are_same(out, Path(append))):
        return
    found = read_manifest(out)
    what = "a file" if found is None else "an ID table"
    check_same(out, what, dict(_inputs(manifest)), None if found is None else dict(_inputs(found)))


def _are_same(out: Path, append: Path) -> bool:
    return append.exists() and out.samefile(append)


def _inputs(of: Manifest) -> Iterator[tuple[str, Any]]:
    """What a table was made from, for people."""
    tokenizer, catalogue = of["tokenizer"], of["catalogue"]
    yield "tokenizer", tokenizer and f"{tokenizer['name']} {tokenizer['fingerprint'][:12]}"
    yield (
        "catalogue",
        catalogue and f"{catalogue['fingerprint'][:12]} of {catalogue['items']:,} items",
    )
    yield "collisions", of["collisions"]
    if of.get("imported"):
        yield "codebook sizes", of["codebook_sizes"]
    for number, file in enumerate(of.get("imported", []), 1):
        yield f"imported file {number}", {"file": file["file"], "sha256": file["sha256"]}
        yield f"columns of file {number}", ",".join(file["columns"])
        yield f"first codes of file {number}", file["first_codes"]

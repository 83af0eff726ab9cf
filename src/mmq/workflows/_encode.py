"""A catalogue and a tokenizer -> a semantic ID for every item."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from mmq._artifacts import beside, check_writable, disk_errors
from mmq._model_folder import fingerprint
from mmq.data._parquet import CatalogueFile
from mmq.made_from import Checkpoint
from mmq.semantic_ids import (
    CatalogueRef,
    Lacking,
    Manifest,
    SemanticIDs,
    build_manifest,
    move_collisions,
)
from mmq.semantic_ids import append as append_to
from mmq.semantic_ids._append import check_appendable
from mmq.tokenizers import Tokenizer
from mmq.tokenizers._candidates import CandidateReader
from mmq.tokenizers._encoding import Encoded, PartialCodes
from mmq.tokenizers._reference import reference
from mmq.workflows._id_table import check_replaced
from mmq.workflows._run import Run, locks_out


@locks_out
def encode(
    catalogue: str | Path,
    tokenizer: str | Path,
    out: str | Path,
    *,
    append: str | Path | None = None,
    collisions: Literal["rank", "move"] = "rank",
    run: Run = Run(),
) -> tuple[SemanticIDs, dict[str, Any]]:
    """The ID table of a catalogue, which is written to ``out`` as well, and its figures.

    Args:
        catalogue: the catalogue.
        tokenizer: folder of the tokenizer.
        out: the file to write.
        append: an older table, to which new items are added; its rows stay as they are.
        collisions: tell items of one ID apart by rank, or move them to the nearest free ID.
        run: device, resume, force.

    Raises:
        DataError: no such file, or ``out`` holds a table of other inputs.
        FormatError: a damaged file, or the older table is of another tokenizer.

    Example: ``ids, figures = encode("catalogue.parquet", "tokenizer", "ids.parquet")``
    """
    out = Path(out)
    check_writable(out, [catalogue, tokenizer])
    loaded: Tokenizer[Any] = Tokenizer.load(tokenizer, run.device)
    file = CatalogueFile(catalogue)
    loaded.require_inputs(file)
    source = {"tokenizer": fingerprint(tokenizer), "catalogue": file.fingerprint()}
    manifest = _manifest(loaded, source, len(file), collisions)
    check_replaced(out, manifest, append, run.force)
    old = SemanticIDs.read(append) if append else None
    if old is not None:
        check_appendable(old, file.item_ids(), manifest)
    checkpoint = Checkpoint(beside(out, "partial"), source, run.resume)
    with disk_errors(out):
        partial = PartialCodes(checkpoint, loaded)
        started, done = time.monotonic(), partial.done(file)
        encoded = partial.append_from(file)
    seconds = time.monotonic() - started
    candidates = CandidateReader(file, loaded) if collisions == "move" else None
    ids, counts = _table(file.item_ids(), encoded, manifest, old, candidates)
    ids.write(out)
    partial.remove()
    speed = (len(file) - done) / max(seconds, 1e-9)
    figures = {"items": len(ids), "length": ids.length, "seconds": round(seconds, 3)}
    return ids, {**counts, **figures, "items_per_second": speed, "out": str(out)}


def _manifest(
    tokenizer: Tokenizer[Any],
    source: dict[str, str],
    items: int,
    collisions: Literal["rank", "move"],
) -> Manifest:
    return build_manifest(
        tokenizer.codebook_sizes,
        tokenizer=reference(tokenizer, source["tokenizer"]),
        catalogue=CatalogueRef(fingerprint=source["catalogue"], items=items),
        ordered=tokenizer.ordered,
        collisions=collisions,
    )


def _table(
    item_ids: pa.Array,
    encoded: Encoded,
    manifest: Manifest,
    old: SemanticIDs | None,
    candidates: CandidateReader | None,
) -> tuple[SemanticIDs, dict[str, Any]]:
    """The ID table, and how many of its items are new, old and moved."""
    if old is not None:
        added = append_to(old, item_ids, encoded.codes, manifest, candidates, encoded.absent)
        return added.ids, {"added": added.added, "kept": added.kept, "moved": added.moved}
    codes, moved = encoded.codes, 0
    if candidates is not None:
        codes, mask = move_collisions(codes, candidates)
        moved = int(mask.sum())
    assert manifest["tokenizer"] is not None
    lacking = Lacking.of(codes, encoded.absent, manifest["tokenizer"]["positions"])
    manifest = {**manifest, "lacking": lacking.to_manifest()}
    ids = SemanticIDs.build(item_ids, codes, manifest["codebook_sizes"], manifest)
    return ids, {"added": len(ids), "kept": 0, "moved": moved}

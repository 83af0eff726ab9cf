"""``mmq encode``: a catalogue and a tokenizer -> a semantic ID for every item."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmq.cli.frame import DeviceOption, ForceOption, JsonOption, ResumeOption, emit

if TYPE_CHECKING:
    from mmq.data.parquet import CatalogueFile
    from mmq.semantic_ids import Manifest
    from mmq.tokenizers import Tokenizer
    from mmq.tokenizers.encoding import Encoded


class Collisions(StrEnum):
    """What happens to items that share an ID."""

    RANK = "rank"
    MOVE = "move"


def command(
    catalogue: Annotated[Path, typer.Argument(help="The catalogue (Parquet).")],
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="Folder of the tokenizer.")],
    out: Annotated[Path, typer.Option("--out", help="The ID table to write (Parquet).")],
    append: Annotated[
        Path | None,
        typer.Option("--append", help="Add new items to this table; its rows stay as they are."),
    ] = None,
    collisions: Annotated[
        Collisions,
        typer.Option("--collisions", help="Tell items of one ID apart by rank, or move them."),
    ] = Collisions.RANK,
    resume: ResumeOption = False,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Give every item of a catalogue its semantic ID.

    Example: mmq encode catalogue.parquet --tokenizer tokenizer --out ids.parquet
    """
    from mmq.artifacts import beside, check_writable, disk_errors
    from mmq.data.parquet import CatalogueFile
    from mmq.made_from import Checkpoint
    from mmq.model_folder import fingerprint
    from mmq.semantic_ids import SemanticIDs
    from mmq.semantic_ids.append import check_appendable
    from mmq.tokenizers import Tokenizer
    from mmq.tokenizers.encoding import PartialCodes

    check_writable(out, [catalogue])
    loaded: Tokenizer[Any] = Tokenizer.load(tokenizer, device)
    file = CatalogueFile(catalogue)
    loaded.require_inputs(file)
    item_ids = file.item_ids()
    source = {"tokenizer": fingerprint(tokenizer), "catalogue": file.fingerprint()}
    manifest = _manifest(loaded, source, len(file), collisions)
    if not force and not (append and append.exists() and out.exists() and out.samefile(append)):
        _check_replaced(out, manifest)
    old = SemanticIDs.read(append) if append else None
    if old is not None:
        check_appendable(old, item_ids, manifest)
    with disk_errors(out):
        partial = PartialCodes(Checkpoint(beside(out, "partial"), source, resume), loaded)
        started, done = time.monotonic(), partial.done(file)
        encoded = partial.append_from(file)
    seconds = time.monotonic() - started
    moving = (file, loaded) if collisions is Collisions.MOVE else None
    ids, figures = _table(item_ids, encoded, manifest, old, moving)
    ids.write(out)
    partial.remove()
    figures |= {
        "items": len(ids),
        "length": ids.length,
        "seconds": round(seconds, 3),
        "items_per_second": (len(file) - done) / max(seconds, 1e-9),
        "out": str(out),
    }
    emit(figures, as_json, _lines(figures, ids.item_ids[:3].to_pylist(), ids.codes[:3].tolist()))


def _check_replaced(out: Path, manifest: Manifest) -> None:
    """Raise :class:`~mmq.errors.DataError` if what stands there is no table of the same inputs.

    A table that was appended to names the last catalogue, as the one that it is appended to anew.
    """
    from mmq.made_from import check_same
    from mmq.semantic_ids.table import read_manifest

    def inputs(of: Manifest) -> dict[str, Any]:
        tokenizer, catalogue = of["tokenizer"], of["catalogue"]
        return {
            "tokenizer": tokenizer and f"{tokenizer['name']} {tokenizer['fingerprint'][:12]}",
            "catalogue": catalogue
            and f"{catalogue['fingerprint'][:12]} of {catalogue['items']:,} items",
            "collisions": of["collisions"],
        }

    if not out.exists():
        return
    found = read_manifest(out)
    what = "a file" if found is None else "an ID table"
    check_same(out, what, inputs(manifest), None if found is None else inputs(found))


def _manifest(
    tokenizer: Tokenizer[Any], source: dict[str, str], items: int, collisions: Collisions
) -> Manifest:
    from mmq.semantic_ids import CatalogueRef, build_manifest
    from mmq.tokenizers.reference import reference

    return build_manifest(
        tokenizer.codebook_sizes,
        tokenizer=reference(tokenizer, source["tokenizer"]),
        catalogue=CatalogueRef(fingerprint=source["catalogue"], items=items),
        ordered=tokenizer.ordered,
        collisions=collisions.value,
    )


def _table(
    item_ids: Any,
    encoded: Encoded,
    manifest: Manifest,
    old: Any,
    moving: tuple[CatalogueFile, Tokenizer[Any]] | None,
) -> tuple[Any, dict[str, Any]]:
    """The ID table and the figures of how it came about."""
    from mmq.semantic_ids import Lacking, SemanticIDs, append, move_collisions
    from mmq.tokenizers.candidates import CandidateReader

    candidates = CandidateReader(*moving) if moving else None
    if old is not None:
        added = append(old, item_ids, encoded.codes, manifest, candidates, encoded.absent)
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


def _lines(figures: dict[str, Any], items: list[Any], codes: list[list[int]]) -> list[str]:
    lines = [
        f"{figures['items']:,} semantic IDs of {figures['length']} codes -> {figures['out']} "
        f"({figures['items_per_second']:,.0f} items/s)"
    ]
    if figures["kept"]:
        lines.append(f"  {figures['added']:,} items added, {figures['kept']:,} kept their old ID")
    if figures["moved"]:
        lines.append(f"  {figures['moved']:,} items moved to the nearest free ID")
    return lines + [f"  {item}: {tuple(code)}" for item, code in zip(items, codes, strict=True)]

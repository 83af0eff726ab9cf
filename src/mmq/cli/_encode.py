"""``mmq encode``: a catalogue and a tokenizer -> a semantic ID for every item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit


def command(
    catalogue: Annotated[Path, typer.Argument(help="The catalogue (Parquet).")],
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="Folder of the tokenizer.")],
    out: Annotated[Path, typer.Option("--out", help="The ID table to write (Parquet).")],
    append: Annotated[
        Path | None,
        typer.Option("--append", help="Add new items to this table; its rows stay as they are."),
    ] = None,
    collisions: Annotated[
        Literal["rank", "move"],
        typer.Option("--collisions", help="Tell items of one ID apart by rank, or move them."),
    ] = "rank",
    resume: opt.Resume = False,
    force: opt.Force = False,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Give every item of a catalogue its semantic ID.

    Example: mmq encode catalogue.parquet --tokenizer tokenizer --out ids.parquet
    """
    from mmq.workflows import Run, encode

    run = Run(device=device, resume=resume, force=force)
    ids, figures = encode(catalogue, tokenizer, out, append=append, collisions=collisions, run=run)
    emit(figures, as_json, _lines(figures, ids.item_ids[:3].to_pylist(), ids.codes[:3].tolist()))


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

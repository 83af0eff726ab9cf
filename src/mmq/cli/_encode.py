"""``mmq encode``: a catalogue and a tokenizer -> a semantic ID for every item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit


def command(
    catalogue: Annotated[
        Path, typer.Argument(help="The catalogue: a Parquet file, or a folder of its parts.")
    ],
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="Folder of the tokenizer.")],
    out: Annotated[
        Path,
        typer.Option("--out", help="The ID table: FILE.parquet, or a folder, a part for a part."),
    ],
    append: Annotated[
        Path | None,
        typer.Option("--append", help="Add new items to this table; its rows stay as they are."),
    ] = None,
    collisions: Annotated[
        Literal["rank", "move"],
        typer.Option("--collisions", help="Tell items of one ID apart by rank, or move them."),
    ] = "rank",
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            "--engine", help="Encode the parts here, or on the machines of a Ray cluster."
        ),
    ] = "local",
    resume: opt.Resume = False,
    force: opt.Force = False,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Give every item of a catalogue its semantic ID.

    Example: mmq encode catalogue.parquet --tokenizer tokenizer --out ids.parquet

    In parts, those that are there are kept: mmq encode catalogue/ --tokenizer tokenizer --out ids/
    """
    from mmq.workflows import Run, encode, encode_parts
    from mmq.workflows._parts_target import is_folder
    from mmq.workflows._run import refuse

    run = Run(device=device, resume=resume, force=force)
    if is_folder(out):
        refuse({"--collisions move": collisions == "move"}, _WHOLE)
        figures = encode_parts(catalogue, tokenizer, out, append=append, engine=engine, run=run)
        emit(figures, as_json, _lines(figures))
        return
    refuse({f"--engine {engine}": engine != "local"}, _PARTS)
    ids, figures = encode(catalogue, tokenizer, out, append=append, collisions=collisions, run=run)
    shown = zip(ids.item_ids[:3].to_pylist(), ids.codes[:3].tolist(), strict=True)
    emit(
        figures, as_json, [*_lines(figures), *(f"  {item}: {tuple(code)}" for item, code in shown)]
    )


_WHOLE = "needs all items at a time; give one file to write, such as --out ids.parquet"
_PARTS = "encodes parts; give a folder to write, such as --out ids"


def _lines(figures: dict[str, Any]) -> list[str]:
    parts = f" in {figures['parts']:,} parts" if "parts" in figures else ""
    lines = [
        f"{figures['items']:,} semantic IDs of {figures['length']} codes{parts} -> "
        f"{figures['out']} ({figures['items_per_second']:,.0f} items/s)"
    ]
    if figures["kept"]:
        lines.append(f"  {figures['added']:,} items added, {figures['kept']:,} kept their old ID")
    if figures["moved"]:
        lines.append(f"  {figures['moved']:,} items moved to the nearest free ID")
    return lines

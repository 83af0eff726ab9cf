"""``mmq release``: parts that belong together -> one folder that a service recommends from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit


def command(
    ids: Annotated[Path, typer.Option("--ids", help="The ID table to recommend from.")],
    model: Annotated[Path, typer.Option("--model", help="Folder of the recommender.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder to make, RELEASES/NAME; it never changes.")
    ],
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", help="Folder of the tokenizer; not for imported IDs."),
    ] = None,
    ranker: Annotated[
        Path | None, typer.Option("--ranker", help="Folder of a ranker, to be served too.")
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option("--catalogue", help="Catalogue with titles, pictures and attributes."),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Put all that a service needs into one folder, with the hash of every file.

    Parts that do not belong together are refused. A table with new items (mmq encode --append)
    makes a release without any training.

    Example: mmq release --ids ids.parquet --model heterrec --tokenizer tokenizer
    --catalogue catalogue.parquet --out releases/monday
    """
    from mmq.release import Parts
    from mmq.workflows import release

    result = release(Parts(ids, model, tokenizer, ranker, catalogue), out)
    emit(result, as_json, _lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    models = ", ".join(f"{family} {kind}" for family, kind in result["models"].items())
    yield f"release {result['name']} ({result['fingerprint'][:12]}): {models}"
    new = f", {result['new_items']:,} of them new since training" if result["new_items"] else ""
    yield f"  {result['items']:,} items{new}; {result['files']} files, each with its hash"
    yield f"written to {result['out']}; serve it with: mmq serve {Path(result['out']).parent}"

"""``mmq import``: embeddings in .npy files, semantic IDs made elsewhere, and public data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns
from mmq.errors import SettingsError

import_app = typer.Typer(
    help="Make a catalogue of .npy embeddings, take in semantic IDs or a public data set.",
    no_args_is_help=True,
)

FolderArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="The folder of the data set.", show_default=False)
]
FolderOption = Annotated[Path, typer.Option("--out", help="The folder to write.")]
CoreOption = Annotated[
    int | None,
    typer.Option("--k-core", help="Keep users and items with at least so many interactions."),
]


@import_app.command()
def npy(
    items: Annotated[Path, typer.Option("--items", help="JSON Lines, CSV, TSV or Parquet.")],
    modality: Annotated[
        list[str],
        typer.Option(
            "--modality", help="NAME=FILE.npy or NAME=FILE.parquet:COLUMN, row for row. Repeats."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The catalogue to write (Parquet).")],
    item_id: Annotated[str, typer.Option("--id", help="Column of item ids.")] = "item_id",
    reduce: opt.Reduce = None,
    reduce_like: opt.ReduceLike = None,
    title_column: opt.Title = None,
    image_column: Annotated[
        str | None, typer.Option("--image-column", help="Picture paths; image if there is one.")
    ] = None,
    attribute: opt.Attribute = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Make a catalogue of an items file and one .npy array a modality.

    A row that is NaN throughout marks an item that lacks the modality.

    Example: mmq import npy --items items.jsonl --id item --modality text=text.npy
    --modality image=image.npy --reduce 256 --out catalogue.parquet
    """
    from mmq.data._items import ItemColumns
    from mmq.data._npy import NpyImport
    from mmq.workflows import import_npy

    columns = ItemColumns(item_id, title_column, image_column, tuple(attribute or ()))
    source = NpyImport(items, _modalities(modality), columns, reduce, reduce_like)
    result = import_npy(source, out, force=force)
    emit(result, as_json, _catalogue_lines(result))


@import_app.command()
def ids(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="JSON, JSON Lines, CSV, TSV or Parquet.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The ID table to write (Parquet).")],
    item_id: Annotated[str, typer.Option("--id", help="Column of item ids.")] = "item_id",
    code_columns: Annotated[
        str | None,
        typer.Option(
            "--code-columns",
            help="Column of whole IDs, or one for each position: c0,c1,c2. Else known by name.",
        ),
    ] = None,
    codebook_sizes: Annotated[
        str | None,
        typer.Option(
            "--codebook-sizes",
            help="One for each position, 256,256,512, or one for all; else the largest code and 1.",
        ),
    ] = None,
    first_codes: Annotated[
        str,
        typer.Option(
            "--first-codes",
            help="First code of each position where they are numbered through: 0,256,512.",
        ),
    ] = "0",
    append: Annotated[
        Path | None,
        typer.Option("--append", help="An imported table; new items go after it, old IDs stay."),
    ] = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Make an ID table of semantic IDs that were made elsewhere.

    Codes may be lists of numbers, tokens such as <a_12><b_5>, texts such as 12-5, or a column for
    each position. A row that repeats another is left out.

    Example: mmq import ids index.json --codebook-sizes 256 --out ids.parquet
    """
    from mmq.semantic_ids._imported import IdColumns
    from mmq.workflows import IdImport, import_ids

    columns = IdColumns(item_id, tuple(code_columns.split(",")) if code_columns else ())
    sizes = _numbers("--codebook-sizes", codebook_sizes, 1) if codebook_sizes else ()
    source = IdImport(path, columns, sizes, _numbers("--first-codes", first_codes, 0))
    result = import_ids(source, out, append=append, force=force)
    emit(result, as_json, _id_lines(result))


@import_app.command()
def movielens(
    path: FolderArgument,
    out: FolderOption,
    k_core: CoreOption = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Take in MovieLens: ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-latest.

    Writes items.parquet (item_id, title, genres, year) and interactions.parquet.

    Example: mmq import movielens ml-1m --out movies --k-core 5
    """
    from mmq.workflows import import_data

    result = import_data("movielens", path, out, k_core, force=force)
    emit(result, as_json, _data_lines(result, "title,genres"))


@import_app.command()
def amazon(
    path: FolderArgument,
    out: FolderOption,
    k_core: CoreOption = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Take in Amazon reviews of one category, of 2014, 2018 or 2023.

    PATH is the folder of the review file and meta_*, or one review file where there are several.
    Writes items.parquet (item_id, title, brand, categories, description, image_url) and
    interactions.parquet.

    Example: mmq import amazon beauty-2014 --out beauty --k-core 5
    """
    from mmq.workflows import import_data

    result = import_data("amazon", path, out, k_core, force=force)
    emit(result, as_json, _data_lines(result, "title,brand,categories"))


@import_app.command()
@with_columns
def recbole(
    columns: Columns,
    path: FolderArgument,
    out: FolderOption,
    k_core: CoreOption = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Take in RecBole atomic files, NAME.inter and NAME.item.

    A log whose rows hold a history (item_id_list) and its next item comes out as one event a row.

    Writes items.parquet and interactions.parquet, and catalogue.parquet where the items have
    embeddings (float_seq columns of one width).

    Example: mmq import recbole dataset/ml-100k --out movies
    """
    from mmq.workflows import import_data

    result = import_data("recbole", path, out, k_core, columns=columns, force=force)
    emit(result, as_json, _data_lines(result, "COLUMN,COLUMN"))


def _data_lines(result: Mapping[str, Any], text: str) -> list[str]:
    """What was read, and what to do next."""
    out = Path(result["out"])
    lines = [
        f"{result['interactions']:,} interactions of {result['users']:,} users with "
        f"{result['items']:,} items ({result['layout']}) -> {out}"
    ]
    if "catalogue" in result:
        lines.append(f"next: mmq fit {result['catalogue']} --out TOKENIZER")
    else:
        lines.append("there are no embeddings yet; next:")
        lines.append(
            f"  mmq embed {out / 'items.parquet'} --text-columns {text} "
            f"--out {out / 'catalogue.parquet'}"
        )
    return lines


def _modalities(assignments: list[str]) -> dict[str, Path]:
    modalities: dict[str, Path] = {}
    for assignment in assignments:
        name, separator, file = assignment.partition("=")
        if not (name and separator and file):
            raise SettingsError(
                f"--modality {assignment!r} should read NAME=FILE.npy or NAME=FILE.parquet:COLUMN"
            )
        if name in modalities:
            raise SettingsError(f"--modality {name} is given twice; give each modality one file")
        modalities[name] = Path(file)
    return modalities


def _numbers(option: str, text: str, least: int) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) >= least for part in parts):
        raise SettingsError(
            f"{option} {text!r} should be whole numbers from {least} on, such as 256,256,256"
        )
    return tuple(map(int, parts))


def _id_lines(result: dict[str, Any]) -> list[str]:
    sizes = " x ".join(f"{size:,}" for size in result["codebook_sizes"])
    read = f"{result['items']:,} items, codes of {sizes}, from {', '.join(result['columns'])}"
    lines = [f"{read} -> {result['out']}"]
    if result["kept"] or result["added"] < result["items"]:
        lines.append(f"  {result['added']:,} items are new, {result['kept']:,} were known already")
    if result["repeated"]:
        lines.append(f"  left out, since they repeat another: {result['repeated']:,} rows")
    lines.append(f"next: mmq train retrieval --interactions LOG --ids {result['out']} --out MODEL")
    return lines


def _catalogue_lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['items']:,} items -> {result['out']}"]
    for name, modality in result["modalities"].items():
        line = f"  {name}: {modality['dimension']} dimensions, {modality['missing']:,} missing"
        if "explained_variance" in modality:
            line += f", PCA keeps {modality['explained_variance']:.1%} of the variance"
        lines.append(line)
    return lines

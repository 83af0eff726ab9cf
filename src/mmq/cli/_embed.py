"""``mmq embed``: texts and images of an items file into a catalogue of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mmq.cli import _embed_behaviour as embed_behaviour
from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.errors import SettingsError

if TYPE_CHECKING:
    from mmq.encoders._template import TextTemplate


class _Embed(TyperGroup):
    """``mmq embed ITEMS`` and ``mmq embed behaviour CATALOGUE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Whatever is no name of a command is for the command of items."""
        if not args or args[0] not in self.commands:
            args = [_ITEMS, *args]
        return super().parse_args(ctx, args)


_ITEMS = "items"
embed_app = typer.Typer(cls=_Embed)
embed_app.command("behaviour")(embed_behaviour.command)

EncoderHelp = "a Hugging Face name, a model folder, light (no download, no meaning) or none."


_TextTemplate = Annotated[
    str | None,
    typer.Option("--text-template", help='Instead: "{title}. by {author}. {plot}".'),
]
_ImageColumn = Annotated[
    str | None,
    typer.Option("--image-column", help="Image paths, from the folder of the items file."),
]
_Items = Annotated[
    Path, typer.Argument(help="JSON Lines, CSV, TSV or Parquet.", show_default=False)
]
_TextColumns = Annotated[
    str | None, typer.Option("--text-columns", help="Columns of the text: title,plot.")
]
_TextEncoder = Annotated[
    str, typer.Option("--text-encoder", help=f"minilm (packaged), {EncoderHelp}")
]
_ImageEncoder = Annotated[
    str, typer.Option("--image-encoder", help=f"effnet-lite0 (packaged), {EncoderHelp}")
]
_SkipBadImages = Annotated[
    bool, typer.Option("--skip-bad-images", help="Count unreadable images as missing.")
]
_BatchSize = Annotated[int, typer.Option("--batch-size", help="Items encoded and kept at a time.")]


@embed_app.command(_ITEMS)
def command(
    items: _Items,
    out: Annotated[Path, typer.Option("--out", help="The catalogue to write (Parquet).")],
    item_id: Annotated[str, typer.Option("--id", help="Column of item ids.")] = "item_id",
    text_columns: _TextColumns = None,
    text_template: _TextTemplate = None,
    image_column: _ImageColumn = None,
    text_encoder: _TextEncoder = "minilm",
    image_encoder: _ImageEncoder = "effnet-lite0",
    reduce: opt.Reduce = None,
    reduce_like: opt.ReduceLike = None,
    title_column: opt.Title = None,
    attribute: opt.Attribute = None,
    skip_bad_images: _SkipBadImages = False,
    batch_size: _BatchSize = 64,
    device: opt.Device = "auto",
    resume: opt.Resume = False,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Make a catalogue of an items file: embed its texts, its images, or both.

    In a template, a sentence whose columns are all empty is left out. Items without text or image
    lack that modality. The packaged encoders come with the install extra "encoders".

    See also: mmq embed behaviour --help, which embeds what users do.

    Example: mmq embed items.jsonl --id item --text-columns title,plot --image-column image
    --reduce 256 --out catalogue.parquet
    """
    from mmq.data._items import ItemColumns
    from mmq.encoders._embed import Embedding
    from mmq.workflows import embed

    text = None if text_encoder == "none" else _template(text_columns, text_template)
    image = None if image_encoder == "none" else image_column
    task = Embedding(
        items,
        text,
        ItemColumns(item_id, title_column, image, tuple(attribute or ())),
        text_encoder=text_encoder,
        image_encoder=image_encoder,
        reduce=reduce,
        reduce_like=reduce_like,
        batch_size=batch_size,
        device=device,
        skip_bad_images=skip_bad_images,
    )
    result = embed(task, out, resume=resume, force=force)
    emit(result, as_json, _lines(result))


def _template(columns: str | None, template: str | None) -> TextTemplate | None:
    from mmq.encoders._template import TextTemplate

    if columns is not None and template is not None:
        raise SettingsError(
            "--text-columns and --text-template exclude each other; give one of them"
        )
    if template is not None:
        return TextTemplate.parse(template)
    if columns is None:
        return None
    names = tuple(name.strip() for name in columns.split(","))
    if not all(names):
        raise SettingsError(f"--text-columns {columns!r} should read COLUMN,COLUMN")
    return TextTemplate.of_columns(names)


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['items']:,} items -> {result['out']}"]
    for name, modality in result["modalities"].items():
        line = (
            f"  {name}: {modality['encoder']}, {modality['dimension']} dimensions, "
            f"{modality['missing']:,} missing"
        )
        if name == "image" and result["bad_images"]:
            line += f" ({result['bad_images']:,} of them unreadable)"
        if modality["items_per_second"] is not None:
            line += f", {modality['items_per_second']:,} items/s"
        if "explained_variance" in modality:
            line += f", PCA keeps {modality['explained_variance']:.1%} of the variance"
        lines.append(line)
    return [*lines, f"next: mmq fit {result['out']} --out TOKENIZER"]

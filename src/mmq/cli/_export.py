"""``mmq export``: models in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit

export_app = typer.Typer(help="Write a model for other programs.", no_args_is_help=True)


@export_app.command("onnx")
def onnx(
    folder: Annotated[Path, typer.Argument(help="Folder of a tokenizer or recommender.")],
    out: Annotated[Path, typer.Option("--out", help="The ONNX file to write.")],
    as_json: opt.Json = False,
) -> None:
    """Write a tokenizer's encode, or a recommender's user vectors, as an ONNX graph.

    Example: mmq export onnx tokenizer --out tokenizer.onnx
    """
    from mmq.workflows import export_onnx

    done = export_onnx(folder, out)
    emit(done, as_json, [f"{', '.join(done['inputs'])} -> {done['output']}: {done['out']}"])

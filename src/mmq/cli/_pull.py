"""``mmq pull``: a repository of a hub -> a model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit


def command(
    repo: Annotated[str, typer.Argument(help="OWNER/NAME.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit; main if not given.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace another model that stands at --out.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Fetch a model from the Hugging Face hub.

    Example: mmq pull me/toys --out tokenizer
    """
    from mmq.workflows import pull

    done = pull(repo, out, revision=revision, force=force)
    line = f"{done['family']} {done['kind']} of {repo}, commit {done['commit']} -> {out}"
    emit(done, as_json, [line])

"""``mmq push``: a model's folder -> a repository of a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit


def command(
    folder: Annotated[Path, typer.Argument(help="Folder of a tokenizer, recommender or ranker.")],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME; made if it is not there.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private, if it is made.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch; made if it is not there.")
    ] = None,
    message: Annotated[str | None, typer.Option("--message", help="Of the commit.")] = None,
    license: Annotated[
        str | None, typer.Option("--license", help="That the model card names.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Put a model on the Hugging Face hub; the token is HF_TOKEN, or that of hf auth login.

    Example: mmq push tokenizer me/toys --private
    """
    from mmq.workflows import push

    done = push(folder, repo, private=private, revision=revision, message=message, license=license)
    emit(done, as_json, [f"{done['family']} {done['kind']} -> {repo}, commit {done['commit']}"])

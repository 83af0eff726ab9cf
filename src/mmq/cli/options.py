"""Options that several verbs of models have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Folder of the model.", show_default=False)
]
NewIdsOption = Annotated[
    Path | None,
    typer.Option("--ids", help="Recommend from this newer ID table of the same tokenizer."),
]
NewItemBonusOption = Annotated[
    float,
    typer.Option(
        "--new-item-bonus",
        help="Nats added to the scores of items that training did not meet; more shows more.",
    ),
]
TiesOption = Annotated[
    Literal["file", "shuffled"] | None,
    typer.Option(
        "--ties",
        help="Order of what a user met at one moment: that of the rows (file), or a random one "
        "that does not depend on it.",
    ),
]
DedupeOption = Annotated[
    bool, typer.Option("--dedupe", help="Leave out rows that an earlier one equals in all columns.")
]
DropUnknownOption = Annotated[
    bool,
    typer.Option(
        "--drop-unknown", help="Leave out rows whose item has no semantic ID, in place of an error."
    ),
]
InteractionsOption = Annotated[Path, typer.Option("--interactions", help="The interaction log.")]

"""What the verbs of retrieval share: the log's columns, and a model with its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmq.cli.log_columns import Columns

if TYPE_CHECKING:
    from mmq.data.interactions import Interactions
    from mmq.recommenders import Recommender

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


def read_log(path: Path, columns: Columns) -> Interactions:
    """The interaction log in a file.

    Raises:
        DataError: no such file, or a column is missing.
        FormatError: it is truncated or damaged.
    """
    from mmq.data.interactions import read_interactions

    return read_interactions(path, columns)


def liked_by(log: Interactions) -> list[str]:
    """The columns that tell whether a row was liked; none of a log whose rows all count."""
    return [name for name in ("rating", "label") if name in log.table.column_names]


def told_by(columns: Sequence[str]) -> str:
    """A clause on :func:`liked_by`."""
    if not columns:
        return "which all count as liked, since no rating and no label was read"
    return f"of which those count that were liked by {' or '.join(columns)}"


def refuse(given: Mapping[str, bool], why: str) -> None:
    """Raise :class:`~mmq.errors.SettingsError` for the first option that is given.

    Args:
        given: option -> whether it is.
        why: the rest of the sentence after its name.
    """
    from mmq.errors import SettingsError

    for option in (name for name, there in given.items() if there):
        raise SettingsError(f"{option} {why}")


def load_model(
    folder: Path, ids: Path | None, device: str, new_item_bonus: float = 0.0
) -> Recommender[Any]:
    """The recommender in a folder, speaking the items of another table where one is given.

    Raises:
        SettingsError: a table or a bonus for a model that does not speak semantic IDs, or a ranker.
        FormatError: a damaged folder, or the table of another tokenizer.
    """
    from mmq.errors import SettingsError
    from mmq.ranking.folder import is_ranker
    from mmq.recommenders import HeterRec, load_recommender
    from mmq.semantic_ids import SemanticIDs

    if is_ranker(folder):
        raise SettingsError(
            f"{folder} holds a ranker, which judges items that are put before it and finds none; "
            "give the folder that mmq train retrieval wrote"
        )
    model = load_recommender(folder, device)
    if not isinstance(model, HeterRec):
        refuse(
            {"--ids": ids is not None, "--new-item-bonus": bool(new_item_bonus)},
            f"is not for {model.kind}, which knows items by their interactions alone; leave it "
            "out, or train heterrec",
        )
        return model
    if ids is not None:
        model.with_ids(SemanticIDs.read(ids))
    model.favour_new_items(new_item_bonus)
    return model

"""What the verbs of retrieval share: the log's columns, and a model with its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmq.cli.log_columns import Columns

if TYPE_CHECKING:
    from mmq.data.interactions import Interactions
    from mmq.recommenders import Recommender, SplitSettings

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


def described(log: Interactions, division: SplitSettings, item_ids: Any = None) -> dict[str, Any]:
    """What is odd about a log, for JSON: rows that come twice, unknown items, ties of time.

    Args:
        log: as it was read.
        division: how it is divided.
        item_ids: that may be recommended, where that is known.
    """
    from mmq.data.cleaning import repeated_rows, tied_users, with_items

    unknown = 0 if item_ids is None else int((~with_items(log, item_ids, strict=False)).sum())
    kept = division.kept(log, item_ids)
    tied, users = tied_users(kept, division.parts(kept))
    return {
        "rows": len(log),
        # without times, who meets an item twice is no mistake
        "repeated_rows": int(repeated_rows(log).sum()) if log.has_time.any() else 0,
        "dedupe": division.dedupe,
        "unknown_rows": unknown,
        "has_times": log.has_moments,
        "ties": {"order": division.ties, "users": tied, "of": users},
    }


def concerns(log: Mapping[str, Any]) -> list[str]:
    """Sentences on what :func:`described` gives, where it is worth a warning."""
    from mmq.data.cleaning import MANY_TIES

    found, ties, rows = [], log["ties"], log["rows"]
    share = ties["users"] / max(ties["of"], 1)
    if share > MANY_TIES and ties["order"] == "file" and log["has_times"]:
        found.append(
            f"{ties['users']:,} of {ties['of']:,} users ({share:.0%}) have a held-out item of the "
            "same time as the item before it, so that the order of the rows decides what is held "
            "out, and a model may learn that order; --ties shuffled takes a random one"
        )
    found += repeats(log)
    if log["unknown_rows"]:
        found.append(
            f"{log['unknown_rows']:,} of {rows:,} rows have an item without a semantic ID and were "
            "left out"
        )
    return found


def repeats(log: Mapping[str, Any]) -> list[str]:
    """A sentence on rows that come more than once and count as often."""
    if not log["repeated_rows"] or log["dedupe"]:
        return []
    return [
        f"{log['repeated_rows']:,} of {log['rows']:,} rows equal an earlier one in all columns and "
        "count again; --dedupe leaves them out"
    ]


def require_order(log: Interactions, ordered: bool, ties: str | None) -> None:
    """Raise :class:`~mmq.errors.DataError` where nothing says what came first and it matters.

    Args:
        log: the log.
        ordered: whether the model learns from the order of a history.
        ties: what the user said of rows at one moment.
    """
    from mmq.errors import DataError, warn

    if log.has_time.any():
        return
    if ordered and ties is None:
        raise DataError(
            "the log has no timestamps, and this model learns from the order of events; give a "
            "column of times (--timestamp-column), or say that the rows are in the order of time: "
            "--ties file"
        )
    if ties is None:
        warn("the log has no timestamps, so the order of its rows decides which items are held out")


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

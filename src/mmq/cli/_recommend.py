"""``mmq recommend``: a model and a history, or many users -> the items to show next."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmq._progress import duration
from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns
from mmq.cli._retrieval_lines import new_lines

_SHOWN = 10
"""Last items of a history that are printed; ``--json`` has them all."""


_Category = Annotated[
    str | None,
    typer.Option("--category", help="Recommend only items whose COLUMN=VALUE in --catalogue."),
]
_Beams = Annotated[
    int | None,
    typer.Option("--beams", min=1, help="Search so many prefixes; without, score every item."),
]


@with_columns
def command(
    columns: Columns,
    model: opt.Model,
    history: Annotated[
        str | None, typer.Option("--history", help="Item ids, oldest first: --history 1,5,9")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Items to recommend.")] = 10,
    users: Annotated[
        str | None,
        typer.Option(
            "--users",
            help="Recommend to many: all of the log, or those of a FILE of ids or of histories.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Parquet file to write, of --users.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Take the history of this user of the log.")
    ] = None,
    interactions: Annotated[
        Path | None,
        typer.Option("--interactions", help="The interaction log of --user or --users."),
    ] = None,
    catalogue: Annotated[
        Path | None, typer.Option("--catalogue", help="Catalogue with titles and attributes.")
    ] = None,
    allow: Annotated[
        Path | None, typer.Option("--allow", help="Recommend only the item ids in it, one a line.")
    ] = None,
    category: _Category = None,
    exclude_history: Annotated[
        bool, typer.Option("--exclude-history", help="Do not recommend items of the history.")
    ] = False,
    titles: Annotated[
        bool, typer.Option("--titles", help="Write titles of --catalogue, of --users.")
    ] = False,
    reason: Annotated[
        bool,
        typer.Option(
            "--reason", help="Write the item of the history that speaks most for each, of --users."
        ),
    ] = False,
    beams: _Beams = None,
    ids: opt.NewIds = None,
    new_item_share: opt.NewItemShare = 0.0,
    new_since: opt.NewSince = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Recommend items that go on from a history.

    Example: mmq recommend model --history 1,5,9 -k 10 --catalogue catalogue.parquet

    Of one kind only: mmq recommend model --history 1,5 --catalogue catalogue.parquet
    --category genres=Comedy

    To everybody: mmq recommend model --users all --interactions interactions.parquet -k 100
    --out recommendations.parquet
    """
    from mmq.workflows import ItemFilters, LogFile, ModelFolder, recommend

    _require_one_form(users, out, {"--history": history, "--user": user}, titles or reason)
    folder = ModelFolder(model, ids, new_item_share, new_since, device)
    shared: dict[str, Any] = {
        "k": k,
        "log": None if interactions is None else LogFile(interactions, columns),
        "catalogue": catalogue,
        "filters": ItemFilters(allow, category, exclude_history),
        "beams": beams,
    }
    if users is not None and out is not None:
        from mmq.workflows import RecommendationFile, recommend_users

        file = RecommendationFile(out, titles, reason)
        whom = users if users == "all" else LogFile(users, columns)
        result = recommend_users(folder, whom, file, **shared)
        emit(result, as_json, _users_lines(result))
        return
    past = None if history is None else _split_ids(history)
    result = recommend(folder, past, user=user, **shared)
    emit(result, as_json, _lines(result, k))


def _require_one_form(
    users: str | None, out: Path | None, of_one: Mapping[str, str | None], further: bool
) -> None:
    """Raise :class:`~mmq.errors.SettingsError` where options of one user and of many meet."""
    from mmq.errors import SettingsError

    if users is None and (out is not None or further):
        raise SettingsError(
            "--out, --titles and --reason are for many users; add --users all, or --users FILE"
        )
    if users is not None:
        for option in (name for name, given in of_one.items() if given is not None):
            raise SettingsError(f"{option} does not go with --users; give one of the two")
        if out is None:
            raise SettingsError("--users needs a file to write; give it with --out recs.parquet")


def _split_ids(text: str) -> list[str]:
    """The ids of ``1,5,9``; one that holds a comma stands in quotes."""
    lines = csv.reader(text.split("\n"), skipinitialspace=True)
    return [item.strip() for line in lines for item in line if item.strip()]


def _lines(result: Mapping[str, Any], k: int) -> Iterator[str]:
    history, found = result["history"], result["recommendations"]
    beyond = len(history) - _SHOWN
    unknown = f", {result['left_out']:,} more unknown to the model" if result["left_out"] else ""
    yield f"history of {len(history):,} items{unknown}" + (
        f", of which the last {_SHOWN}" if beyond > 0 else ""
    )
    yield from (f"      {_named(item)}" for item in history[-_SHOWN:])
    yield f"{result['model']} recommends, of {result['candidates']:,} items"
    yield from new_lines(result, len(found))
    for place, item in enumerate(found, start=1):
        yield f"{place:>4}  {_named(item)}  score {item['score']:.4g}"
    yield from (f"  warning: {each}" for each in result["warnings"])
    if len(found) < k:
        yield f"  no more than {len(found):,} items pass the filters"


def _users_lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{result['model']} recommends to {result['users']:,} users, of {result['candidates']:,} "
        f"items: {result['rows']:,} rows in {duration(result['seconds'])} "
        f"({result['users_per_second']:,.0f} users/s)"
    )
    yield from new_lines(result, result["rows"])
    yield from (f"  warning: {each}" for each in result["warnings"])
    yield f"written to {result['out']}"


def _named(item: Mapping[str, Any]) -> str:
    parts = [str(item["item_id"])]
    if item.get("title"):
        parts.append(item["title"])
    if "semantic_id" in item:
        parts.append(str(tuple(item["semantic_id"])))
    return "  ".join(parts)

"""``mmq recommend``: a model and a history -> the items to show next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmq.cli.frame import DeviceOption, JsonOption, emit
from mmq.cli.log_columns import Columns, with_columns
from mmq.cli.retrieval import ModelArgument, NewIdsOption, NewItemBonusOption, load_model, read_log

if TYPE_CHECKING:
    from mmq.cli.choice import History, Shown
    from mmq.recommenders import Recommender

_SHOWN = 10
"""Last items of a history that are printed; ``--json`` has them all."""


@with_columns
def command(
    columns: Columns,
    model: ModelArgument,
    history: Annotated[
        str | None, typer.Option("--history", help="Item ids, oldest first: --history 1,5,9")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Items to recommend.")] = 10,
    user: Annotated[
        str | None, typer.Option("--user", help="Take the history of this user of the log.")
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option("--interactions", help="The interaction log of --user.")
    ] = None,
    catalogue: Annotated[
        Path | None, typer.Option("--catalogue", help="Catalogue with titles and attributes.")
    ] = None,
    allow: Annotated[
        Path | None, typer.Option("--allow", help="Recommend only the item ids in it, one a line.")
    ] = None,
    category: Annotated[
        str | None,
        typer.Option("--category", help="Recommend only items whose COLUMN=VALUE in --catalogue."),
    ] = None,
    exclude_history: Annotated[
        bool, typer.Option("--exclude-history", help="Do not recommend items of the history.")
    ] = False,
    beams: Annotated[
        int | None,
        typer.Option("--beams", min=1, help="Search so many prefixes; without, score every item."),
    ] = None,
    ids: NewIdsOption = None,
    new_item_bonus: NewItemBonusOption = 0.0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Recommend items that go on from a history.

    Example: mmq recommend model --history 1,5,9 -k 10 --catalogue catalogue.parquet

    Of one kind only: mmq recommend model --history 1,5 --catalogue catalogue.parquet
    --category genres=Comedy
    """
    from mmq.cli.choice import History, Shown, allowed_items, history_of, split_ids

    _check_options(history, user, interactions, category, catalogue)
    recommender = load_model(model, ids, device, new_item_bonus)
    _check_beams(recommender, beams)
    shown = Shown(catalogue) if catalogue else None
    allowed = allowed_items(recommender, allow, category, shown)
    if user is not None and interactions is not None:
        log = read_log(interactions, columns)
        past = history_of(recommender, log.positives(recommender.split.positive_above), user)
    else:
        past = History(split_ids(history or ""))
    found = recommender.recommend([past.items], k, allowed, exclude_history, beams)
    best = _described(recommender, found.item_ids[0], shown)
    result = {
        "model": recommender.kind,
        "candidates": len(recommender.items.item_ids) if allowed is None else len(allowed),
        "history": _described(recommender, past.items, shown),
        "left_out": past.left_out,
        "warnings": _unmet(past),
        "recommendations": [
            {**item, "score": score} for item, score in zip(best, found.scores[0], strict=True)
        ],
    }
    emit(result, as_json, _lines(result, k))


def _check_options(
    history: str | None,
    user: str | None,
    interactions: Path | None,
    category: str | None,
    catalogue: Path | None,
) -> None:
    """Raise :class:`~mmq.errors.SettingsError` for options that ask for each other."""
    from mmq.errors import SettingsError

    if (history is None) == (user is None) or (user is None) != (interactions is None):
        raise SettingsError(
            "give either --history ITEM,ITEM or both --user USER and --interactions LOG"
        )
    if category is not None and catalogue is None:
        raise SettingsError(
            f"--category {category} needs to know what the items are like; give their catalogue "
            "with --catalogue"
        )


def _check_beams(recommender: Recommender[Any], beams: int | None) -> None:
    """Raise :class:`~mmq.errors.SettingsError` where there is nothing to search by beams."""
    from mmq.errors import SettingsError

    if beams is not None and not recommender.needs_ids:
        raise SettingsError(
            f"--beams is not for {recommender.kind}, which scores every item; leave it out"
        )


def _described(
    recommender: Recommender[Any], items: list[Any], shown: Shown | None
) -> list[dict[str, Any]]:
    """Id, title and semantic ID of items, as far as there are any."""
    rows = recommender.rows_of(items, "the history")
    known = recommender.items
    named = known.item_ids.take(rows)
    described: list[dict[str, Any]] = [{"item_id": item} for item in named.to_pylist()]
    if shown is not None:
        for item, title in zip(described, shown.titles(named), strict=True):
            item["title"] = title
    if known.ids is not None:
        for item, code in zip(described, known.ids.codes[rows].tolist(), strict=True):
            item["semantic_id"] = code
    return described


def _unmet(past: History) -> list[str]:
    """What to say where the model knows less than half of a history."""
    if past.left_out <= len(past.items):
        return []
    return [
        f"{past.left_out:,} of the {past.left_out + len(past.items):,} items of the history were "
        "never met in training, so the recommendations are of the others alone; are item ids "
        "written as they were in the training log?"
    ]


def _lines(result: Mapping[str, Any], k: int) -> Iterator[str]:
    history, found = result["history"], result["recommendations"]
    beyond = len(history) - _SHOWN
    unknown = f", {result['left_out']:,} more unknown to the model" if result["left_out"] else ""
    yield f"history of {len(history):,} items{unknown}" + (
        f", of which the last {_SHOWN}" if beyond > 0 else ""
    )
    yield from (f"      {_named(item)}" for item in history[-_SHOWN:])
    yield f"{result['model']} recommends, of {result['candidates']:,} items"
    for place, item in enumerate(found, start=1):
        yield f"{place:>4}  {_named(item)}  score {item['score']:.4g}"
    yield from (f"  warning: {each}" for each in result["warnings"])
    if len(found) < k:
        yield f"  no more than {len(found):,} items pass the filters"


def _named(item: Mapping[str, Any]) -> str:
    parts = [str(item["item_id"])]
    if item.get("title"):
        parts.append(item["title"])
    if "semantic_id" in item:
        parts.append(str(tuple(item["semantic_id"])))
    return "  ".join(parts)

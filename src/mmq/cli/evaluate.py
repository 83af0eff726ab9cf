"""``mmq evaluate``: how well a model finds held-out items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmq.cli import rank
from mmq.cli.frame import DeviceOption, JsonOption, SeedOption, emit
from mmq.cli.log_columns import Columns, with_columns
from mmq.cli.retrieval import (
    ModelArgument,
    NewIdsOption,
    NewItemBonusOption,
    load_model,
    read_log,
    refuse,
)

if TYPE_CHECKING:
    from mmq.recommenders import Evaluation, RetrievalData
    from mmq.recommenders.results import Items


@with_columns
def command(
    columns: Columns,
    model: ModelArgument,
    interactions: Annotated[Path, typer.Option("--interactions", help="The interaction log.")],
    part: Annotated[
        Literal["test", "validation"], typer.Option("--part", help="What to measure on.")
    ] = "test",
    exclude_history: Annotated[
        bool, typer.Option("--exclude-history", help="Do not rank items of the user's own history.")
    ] = False,
    ids: NewIdsOption = None,
    new_item_bonus: NewItemBonusOption = 0.0,
    new_users: Annotated[
        bool,
        typer.Option(
            "--new-users",
            help="Measure users without a history too: they are given what is popular.",
        ),
    ] = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a model on held-out interactions.

    Of a recommender: rank all items for every user, and see where the held-out ones stand. Of a
    ranker: predict every impression, and see how far predictions tell the liked ones. The log is
    divided as it was for the training. Intervals are 95%, by bootstrap over users.

    Example: mmq evaluate model --interactions interactions.parquet
    """
    from mmq.ranking.folder import is_ranker
    from mmq.recommenders import RetrievalData, evaluate
    from mmq.recommenders.folder import split_settings

    if is_ranker(model):
        refuse(
            {
                "--exclude-history": exclude_history,
                "--new-item-bonus": bool(new_item_bonus),
                "--new-users": new_users,
            },
            "is for recommenders; a ranker is asked for what was shown",
        )
        result, lines = rank.evaluate(model, interactions, columns, part, ids, seed, device)
        emit(result, as_json, lines)
        return
    recommender = load_model(model, ids, device, new_item_bonus)
    log = read_log(interactions, columns)
    items = recommender.items
    data = RetrievalData.of(log, items.ids or items.item_ids, split_settings(model), new_users)
    found = evaluate(recommender, data.test if part == "test" else data.validation, exclude_history)
    result = {
        "model": recommender.kind,
        "part": part,
        "items": len(items.item_ids),
        "exclude_history": exclude_history,
        **summary(found),
        "measured": data.measured[part].to_dict(),
        "intervals": _intervals(found, seed),
        "warnings": _other_log(items, data),
    }
    emit(result, as_json, [*_lines(result), *measured_lines(data, (part,))])


def _other_log(items: Items, data: RetrievalData) -> list[str]:
    """What to say where the training part of the log is not what the model learned from."""
    import numpy as np

    here = data.popularity()
    if np.array_equal(items.popularity, here):
        return []
    return [
        f"the training part of this log has {int(here.sum()):,} interactions and is not what the "
        f"model learned from, which had {int(items.popularity.sum()):,}; if you did not mean "
        "another log, give the columns that it was trained with (such as --label-column)"
    ]


def measured_lines(data: RetrievalData, parts: Sequence[str]) -> Iterator[str]:
    """Who is measured in each part, and how to measure new users too."""
    for part in parts:
        of = data.measured[part]
        yield f"  {part}: {of.sentence()}"
    if any(data.measured[part].no_history for part in parts) and not of.new_users_measured:
        yield "  mmq evaluate --new-users measures those without a history too, on what is popular"


def summary(found: Evaluation) -> dict[str, Any]:
    """What an evaluation says of all users together, for JSON."""
    return {
        "users": len(next(iter(found.users.values()))),
        "cases": found.cases,
        "item_level": found.figures,
        "id_level": found.id_level,
        "coverage": found.coverage,
    }


def _intervals(found: Evaluation, seed: int) -> dict[str, list[float]]:
    """Ends of the 95% interval of each figure; all figures resample the same users."""
    import numpy as np

    from mmq.metrics.resampling import bootstrap_interval

    return {
        name: list(bootstrap_interval(values, np.random.default_rng(seed))[1:])
        for name, values in found.users.items()
    }


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{result['model']} on the {result['part']} part: {result['cases']:,} cases of "
        f"{result['users']:,} users, {result['items']:,} items ranked"
        + (" but for the user's own history" if result["exclude_history"] else "")
    )
    by_id = result["id_level"]
    yield f"  {'':<10}{'items':>8}{'95% interval':>20}" + (f"{'IDs':>10}" if by_id else "")
    for name, value in result["item_level"].items():
        low, high = result["intervals"][name]
        interval = f"{low:.4f} to {high:.4f}"
        yield f"  {name:<10}{value:>8.4f}{interval:>20}" + (
            f"{by_id[name]:>10.4f}" if by_id else ""
        )
    yield f"  {'coverage':<10}{result['coverage']:>8.4f}  of the items are in anybody's ten best"
    yield from (f"  warning: {each}" for each in result["warnings"])

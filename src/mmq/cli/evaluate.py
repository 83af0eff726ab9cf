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
    DropUnknownOption,
    ModelArgument,
    NewIdsOption,
    NewItemBonusOption,
    concerns,
    described,
    load_model,
    read_log,
    refuse,
)

if TYPE_CHECKING:
    from mmq.recommenders import Evaluation, Protocol, RetrievalData
    from mmq.recommenders.results import Items


@with_columns
def command(
    columns: Columns,
    model: ModelArgument,
    interactions: Annotated[Path, typer.Option("--interactions", help="The interaction log.")],
    part: Annotated[
        Literal["test", "validation"], typer.Option("--part", help="What to measure on.")
    ] = "test",
    ids: NewIdsOption = None,
    drop_unknown: DropUnknownOption = False,
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

    Of a recommender: rank all items for every user, and see where the held-out ones stand: where
    the items of the user's own history compete, where they are left out, and beside popularity and
    item-kNN. Of a ranker: predict every impression, and see how far predictions tell the liked
    ones. The log is divided as it was for the training. Intervals are 95%, by bootstrap over users.

    Example: mmq evaluate model --interactions interactions.parquet
    """
    from mmq.model_folder import family_of
    from mmq.recommenders import RetrievalData, evaluate
    from mmq.recommenders.verdict import baselines, measured, verdict

    if family_of(model, ("ranker",)):
        refuse(
            {"--new-item-bonus": bool(new_item_bonus), "--new-users": new_users},
            "is for recommenders; a ranker is asked for what was shown",
        )
        result, lines = rank.evaluate(
            model, interactions, columns, part, ids, drop_unknown, seed, device
        )
        emit(result, as_json, lines)
        return
    recommender = load_model(model, ids, device, new_item_bonus)
    log = read_log(interactions, columns)
    items = recommender.items
    division = recommender.split
    if drop_unknown:
        division = division.model_copy(update={"drop_unknown": True})
    data = RetrievalData.of(log, items.ids or items.item_ids, division, new_users)
    about = described(log, division, items.item_ids)
    cases = data.test if part == "test" else data.validation
    found = evaluate(recommender, cases)
    others = measured(baselines(data, recommender.kind), cases)
    result = {
        "model": recommender.kind,
        "part": part,
        "items": len(items.item_ids),
        **summary(found),
        "measured": data.measured[part].to_dict(),
        "intervals": {
            "history_competes": _intervals(found, seed),
            "history_left_out": _intervals(found.left_out, seed),
        },
        "baselines": {name: summary(other) for name, other in others.items()},
        "verdict": verdict(recommender, found, others, part),
        "log": about,
        "warnings": [*_other_log(items, data), *concerns(about)],
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
    both = {"history_competes": found, "history_left_out": found.left_out}
    ids = {name: each.id_level for name, each in both.items()}
    return {
        "users": len(next(iter(found.users.values()))),
        "cases": found.cases,
        "item_level": found.figures,  # what those who read this JSON have always read
        **{name: {**each.figures, "coverage": each.coverage} for name, each in both.items()},
        "id_level": ids if found.id_level else None,
    }


def _intervals(found: Protocol, seed: int) -> dict[str, list[float]]:
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
    )
    yield from table_lines({"": result}, result["baselines"])
    yield "  95% interval over users"
    for protocol, intervals in result["intervals"].items():
        ends = "".join(f"{f'{low:.4f}-{high:.4f}':>15}" for low, high in intervals.values())
        yield f"  {words(protocol):<36}{ends}"
    yield from verdict_lines(result)
    yield from (f"  warning: {each}" for each in result["warnings"])


def words(protocol: str) -> str:
    """The key of a protocol as text: ``history left out``."""
    return protocol.replace("_", " ")


def table_lines(
    parts: Mapping[str, Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """A line for each part and protocol, then one for each other model.

    Args:
        parts: name of a part -> :func:`summary` of the model.
        others: kind of another model -> :func:`summary` on the last of the parts.
    """
    first = next(iter(parts.values()))
    yield f"  {'':<36}" + "".join(f"{name:>15}" for name in first["history_competes"])
    for title, found in [*parts.items(), *others.items()]:
        for protocol in ("history_competes", "history_left_out"):
            label = f"{title}, {words(protocol)}" if title else words(protocol)
            yield f"  {label:<36}" + "".join(f"{v:>15.4f}" for v in found[protocol].values())
    last = list(parts.values())[-1]
    for protocol, figures in (last["id_level"] or {}).items():
        label = f"IDs, {words(protocol)}"
        yield f"  {label:<36}" + "".join(f"{value:>15.4f}" for value in figures.values())


def verdict_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Where the model stands, a sentence a line."""
    yield from (f"  {each}" for each in result["verdict"])

"""``mmq embed behaviour``: what users do as one more embedding of a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns
from mmq.cli._retrieval_lines import told_by

if TYPE_CHECKING:
    from mmq.ranking import RankingSplit
    from mmq.recommenders import SplitSettings

_MinInteractions = Annotated[
    int | None,
    typer.Option(
        "--min-interactions",
        min=0,
        help="Leave out users and items with fewer (k-core); 5 if not given.",
    ),
]
_Split = Annotated[
    Literal["leave-one-out", "chronological", "stored"] | None,
    typer.Option(
        "--split",
        help="How the training part is told from the rest; what mmq train takes if not given.",
    ),
]
_Model = Annotated[
    Path | None,
    typer.Option("--model", help="Instead: the item vectors of this SASRec model."),
]
_Purpose = Annotated[
    Literal["retrieval", "ranking"],
    typer.Option("--for", help="Whose training part is read: mmq train retrieval or ranking."),
]


@with_columns
def command(
    columns: Columns,
    catalogue: Annotated[Path, typer.Argument(help="The catalogue.", show_default=False)],
    interactions: opt.Interactions,
    out: Annotated[Path, typer.Option("--out", help="The catalogue to write, with it.")],
    name: Annotated[str, typer.Option("--name", help="Name of the new modality.")] = "behaviour",
    model: _Model = None,
    purpose: _Purpose = "retrieval",
    split: _Split = None,
    positive_above: opt.PositiveAbove = 3.0,
    min_interactions: _MinInteractions = None,
    ties: opt.Ties = None,
    dedupe: opt.Dedupe = False,
    drop_unknown: opt.DropUnknown = False,
    settings: opt.Set = None,
    config: opt.Config = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Embed what users do: which items occur together in the training part of their histories.

    The new column is a modality like any other. Items without history borrow it from the item that
    comes nearest to what their content lets expect, or lack it (--set missing=left). --for, split
    and filters have to be those of the model that the IDs are for, so that nothing that is held out
    is seen.

    Example: mmq embed behaviour catalogue.parquet --interactions interactions.parquet
    --out with_behaviour.parquet
    """
    from mmq.settings import gather
    from mmq.workflows import LogFile, embed_behaviour

    given: dict[str, Any] = {"split": split, "min_interactions": min_interactions}
    given |= {
        "positive_above": positive_above,
        "ties": ties,
        "dedupe": dedupe,
        "drop_unknown": drop_unknown,
    }
    result = embed_behaviour(
        catalogue,
        LogFile(interactions, columns),
        out,
        name,
        model=model,
        split=_split(purpose, {key: each for key, each in given.items() if each is not None}),
        settings=gather(config, settings or []),
        force=force,
    )
    emit(result, as_json, _lines(result))


def _split(purpose: str, given: Mapping[str, Any]) -> SplitSettings | RankingSplit:
    from mmq.errors import SettingsError
    from mmq.ranking import RankingSplit
    from mmq.recommenders import SplitSettings

    if purpose == "retrieval":
        return SplitSettings.parse(given)
    if "min_interactions" in given:
        raise SettingsError(
            "--min-interactions is not for ranking, which learns from all that was shown; leave it "
            "out"
        )
    return RankingSplit.parse(given)


def _lines(result: dict[str, Any]) -> list[str]:
    without = f"  {result['without_history']:,} items have no history: "
    if result["predicted"]:
        without += f"they borrow it by their content (held-out cosine {result['likeness']:.2f})"
    else:
        without += f"they lack {result['modality']}"
    return [
        f"{result['items']:,} items -> {result['out']}",
        f"  {result['modality']}: {result['dimension']} dimensions from "
        f"{result['training_interactions']:,} training interactions of a log "
        + told_by(result["liked_by"]),
        *([without] if result["without_history"] else []),
        f"next: mmq fit {result['out']} --out TOKENIZER",
    ]

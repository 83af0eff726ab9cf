"""Rankers on ML-1M: means, and PPNet with item IDs, with semantic IDs, and with these alone.

The log's own chronological split and labels; settings of the command line. The tokenizer is MMQ at
its defaults (seed 0 for all rows), fitted without any interaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from experiments.cells import Made
from experiments.data import LOGS
from experiments.experiment import Context, Experiment
from experiments.retrieval import default_ids
from mmq.data import LogReader
from mmq.model import model_class
from mmq.ranking import RankingData, evaluate_ranking
from mmq.ranking._verdict import beside_means, fitted_means


class Row(NamedTuple):
    """Kind and settings of a ranker, and whether it reads semantic IDs."""

    kind: str = "ppnet"
    settings: Mapping[str, Any] = MappingProxyType({})
    reads_ids: bool = False


ROWS = {
    "means": Row("means"),
    "PPNet, item IDs": Row(),
    "PPNet, item IDs and MMQ": Row(reads_ids=True),
    "PPNet, MMQ alone": Row(settings={"item_id": False}, reads_ids=True),
}


def impressions(data: Path) -> RankingData:
    """The log of ML-1M as a ranker has it."""
    return RankingData.of(LogReader.open(LOGS["ml1m"].path(data), LOGS["ml1m"].columns))


def trained(row: Row, context: Context) -> Made:
    """Train a ranker and measure it: figures, strata, its lead over means, AUC of single users."""
    data = impressions(context.data)
    ids = default_ids("ml1m", context) if row.reads_ids else None
    seeded = {} if row.kind == "means" else {"seed": context.seed}
    ranker = model_class("ranker", row.kind)(**row.settings, **seeded)
    fit = ranker.fit(data, ids)
    made = measured(ranker, data)
    figures = {
        **made.figures,
        "parameters": sum(each.size for each in ranker.tensors().values()),
        "validation": fit.validation,
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
        "rows_per_second": fit.targets_per_second,
        "seconds": fit.seconds,
    }
    return Made(ranker.settings.to_dict(), figures, made.users)


def measured(ranker: Any, data: RankingData) -> Made:
    """Figures of the test and of its strata, beside means; AUC of single users."""
    found = evaluate_ranking(ranker, data)
    by_user = found.by_user
    figures: dict[str, Any] = {
        **found.figures,
        "strata": {name: each._asdict() for name, each in found.strata.items()},
        "impressions": found.rows,
        "eligible_users": by_user.eligible_users,
        "eligible_impressions": by_user.eligible_rows,
    }
    if ranker.kind != "means":
        beside = beside_means(found, fitted_means(data), data, data.test, "test")
        tests = {"auc": beside.auc._asdict(), "gauc": beside.gauc._asdict()}
        figures |= {"beside means": tests, "sentence": beside.sentence}
    return Made({}, figures, {"figure": by_user.auc})


EXPERIMENTS = {"ranking_ml1m": Experiment("ml1m", ROWS, trained)}

"""Old items against new ones: what a bonus for new items finds, and what it costs.

The models are those of a reproduction on ML-1M, which has to lie beside the experiments:
``mmq reproduce table1 --data DATA/ml1m --user-column user --item-column item --scale full --config
experiments/paper/ml1m.toml --out out/experiments/paper_ml1m``. No bonus is chosen; all are shown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.cells import Made
from experiments.experiment import Context, Experiment
from experiments.paper.plan import ITEM_TOKENS, RETRIEVAL, Cell, Row
from experiments.paper.prepare import Request, prepare
from experiments.paper.scales import scale_of
from experiments.paper.variants import MMQ, WITH_BEHAVIOUR
from experiments.paper.worlds import retrieval_world
from mmq.data._sequences import Cases
from mmq.recommenders import HeterRec, Recommender, evaluate

REPRODUCTION = "paper_ml1m"
SETTINGS = Path(__file__).parent / "paper" / "ml1m.toml"
BONUSES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
ROWS = {
    row.name: row
    for row in (Row(name, stage) for name in (MMQ, WITH_BEHAVIOUR) for stage in ("", ITEM_TOKENS))
}


def curve(
    model: HeterRec, test: Cases, cold: Cases, bonuses: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Figures of old and of new items with every bonus."""
    found = {}
    for bonus in bonuses:
        model.favour_unmet(bonus)
        old, new = evaluate(model, test).figures, evaluate(model, cold).figures
        found[f"{bonus:g}"] = {"recall@10": old["recall@10"], "cold recall@10": new["recall@10"]}
    model.favour_unmet(0.0)
    return found


def favoured(row: Row, context: Context) -> Made:
    """The curve of a model of the reproduction."""
    out = context.out / REPRODUCTION
    scale = scale_of("full", tomllib.loads(SETTINGS.read_text("utf-8")))
    columns = (("item_id", "item"), ("user_id", "user"))
    setup = prepare(
        Request(("table1",), context.data / "ml1m", out, "full", scale, 3, columns=columns)
    ).setup
    cell = Cell(RETRIEVAL, row, context.seed)
    model: Any = Recommender.load(context.places._replace(cells=out / "cells").of(cell) / "model")
    assert isinstance(model, HeterRec), "rows of Table 1 with IDs are HeterRec"
    split = retrieval_world(setup, context.seed)
    found = curve(model, split.data.test, split.cold, BONUSES)
    return Made({}, {"bonus": found, "epochs": model.settings.epochs})


EXPERIMENTS = {"new_items_ml1m": Experiment("ml1m", ROWS, favoured)}

"""Events at one moment in public data sets, and whether their order in the file follows a rule.

A pair of neighbours in a user's history that have one time is *tied*; in an order without a rule,
the second has the larger key (the item's number or asin) half of the time. Nothing here is random.
"""

from __future__ import annotations

import numpy as np

from experiments.cells import Made
from experiments.data import items_of
from experiments.experiment import Context, Experiment
from mmq.data import read_interactions
from mmq.data._cleaning import tied_users
from mmq.recommenders import SplitSettings

COLUMNS = {"user_id": "user", "item_id": "item"}
ROWS = {"ML-1M": ("ml1m", "item"), "Amazon Beauty (2014, 5-core)": ("beauty", "asin")}


def measured(row: tuple[str, str], context: Context) -> Made:
    """What the split of a data set meets."""
    name, key = row
    folder = context.data / name
    keys = {each["item"]: each[key] for each in items_of(folder)}
    place = {item: rank for rank, item in enumerate(sorted(keys, key=lambda item: keys[item]))}
    split = SplitSettings()
    log = split.kept(read_interactions(folder / "interactions.parquet", COLUMNS))
    tied, users = tied_users(log, split.parts(log))
    order = log.user_order()
    codes, times = log.users.codes[order], log.times[order]
    ranks = np.array([place[item] for item in log.item_ids.to_pylist()])[order]
    same = (codes[1:] == codes[:-1]) & (times[1:] == times[:-1])
    figures = {
        "key": key,
        "users": users,
        "tied_users": tied,
        "pairs": len(same),
        "tied_pairs": int(same.sum()),
        "rising": float((ranks[1:] > ranks[:-1])[same].mean()),
    }
    return Made({}, figures)


EXPERIMENTS = {"ties": Experiment("real logs", ROWS, measured, seeds=[0])}

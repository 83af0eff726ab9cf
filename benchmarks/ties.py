"""Events at one moment in public data sets, and whether their order in the file follows a rule.

    python benchmarks/ties.py --data DIR

DIR holds ml1m/ and beauty/. A pair of neighbours in a user's history that have one time is *tied*;
in an order without a rule, the second has the larger key (the item's number or asin) half of the
time. Nothing here is random.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, provenance, write

from mmq.data.cleaning import tied_users
from mmq.data.log import read_interactions
from mmq.recommenders import SplitSettings

COLUMNS = {"user_id": "user", "item_id": "item"}
KEYS = {"ml1m": ("ML-1M", "item"), "beauty": ("Amazon Beauty (2014, 5-core)", "asin")}


def measured(folder: Path, name: str, key: str) -> dict[str, Any]:
    """What the split of a data set meets."""
    lines = (folder / "items.jsonl").read_text("utf-8").split("\n")
    keys = {row["item"]: row[key] for row in map(json.loads, filter(None, lines))}
    place = {item: rank for rank, item in enumerate(sorted(keys, key=lambda item: keys[item]))}
    split = SplitSettings()
    log = split.kept(read_interactions(folder / "interactions.parquet", COLUMNS))
    tied, users = tied_users(log, split.parts(log))
    order = log.user_order()
    codes, times = log.users.codes[order], log.times[order]
    ranks = np.array([place[item] for item in log.item_ids.to_pylist()])[order]
    same = (codes[1:] == codes[:-1]) & (times[1:] == times[:-1])
    return {
        "data": name,
        "key": key,
        "users": users,
        "tied_users": tied,
        "pairs": len(same),
        "tied_pairs": int(same.sum()),
        "rising": float((ranks[1:] > ranks[:-1])[same].mean()),
    }


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    rows = [measured(given.data / name, title, key) for name, (title, key) in KEYS.items()]
    write(RESULTS / "ties.json", {"rows": rows, **provenance()})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

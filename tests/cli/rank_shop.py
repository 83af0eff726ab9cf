"""A small log of impressions whose users like what is of their kind, on disk for the verbs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmq import SemanticIDs
from mmq.cli import main
from mmq.semantic_ids import build_manifest

USERS, ITEMS, ROWS = 30, 40, 1000
SIZES = (4, 3)
SMALL = ["--set", "embedding_dim=4", "--set", "hidden=[8]", "--set", "gate_dim=4", "--set",
         "batch_size=100", "--set", "learning_rate=0.02", "--set", "epochs=2"]  # fmt: skip


def table(items=ITEMS, tokenizer="5f0c", changed=()):
    codes = np.random.default_rng(3).integers(0, SIZES, (99, 2))
    for row in changed:
        codes[row, 0] = (codes[row, 0] + 1) % SIZES[0]
    manifest = build_manifest(SIZES, tokenizer={"name": "mmq", "fingerprint": tokenizer})
    return SemanticIDs.build(range(items), codes[:items], SIZES, manifest)


def columns():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, USERS, ROWS), rng.integers(0, ITEMS, ROWS)
    kind = (users + table().codes[items, 0]) % 2 == 0
    return {
        "user_id": users + 100,
        "item_id": items,
        "timestamp": 1_700_000_000 + np.arange(ROWS),
        "label": (kind ^ (rng.random(ROWS) < 0.1)).astype(np.int8),
        "device": np.array(["phone", "desk"])[rng.integers(0, 2, ROWS)],
    }


def write(path, **changes):
    """The log with some columns changed, or left out where None."""
    values = {**columns(), **changes}
    pq.write_table(pa.table({k: v for k, v in values.items() if v is not None}), path)


def train(shop, out="model", *more):
    arguments = ["train", "ranking", "--interactions", shop / "log.parquet", "--out", shop / out]
    return main([str(each) for each in (*arguments, *SMALL, *more)])

"""The loss over a sample of the items against that over all of them, and that over single codes.

Reduced settings, the same for all: narrow networks and few epochs. On real data the sample is a
sixth of the items, drawn anew in every step, beside the targets of the step. Among a million items
there is no loss over all: what a part of the users of a generated world did is learned from, and
all items compete for some of their last ones. The world lies in DATA/world:
``python -m benchmarks.world --items 1000000 --users 500000 --out DATA/world``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.cells import Made
from experiments.data import World
from experiments.experiment import Context, Experiment
from experiments.retrieval import DEFAULT, Row, Settings, fitted, measured, trained
from mmq import Catalogue, SemanticIDs
from mmq.data import read_catalogue, read_interactions
from mmq.model import model_class
from mmq.recommenders import RetrievalData, SplitSettings
from mmq.tokenizers import Tokenizer

SMALL: Settings = {"hidden_dim": 32, "history": 20, "patience": 100, "learning_rate": 0.004}
CODES: Settings = {**SMALL, "token_layers": 1, "item_token": False}
EPOCHS = {"beauty": 3, "ml1m": 1}
SAMPLES = {"beauty": 2048, "ml1m": 512}
ALL = 1_000_000
"""No data here have more items."""


def compared(data: str) -> Experiment:
    """HeterRec on codes alone and SASRec, with either loss."""
    rows = {}
    for name, negatives in (("all items", ALL), ("a sample", SAMPLES[data])):
        more = {"epochs": EPOCHS[data], "negatives": negatives}
        rows[f"SASRec, {name}"] = Row(data, "sasrec", {**SMALL, **more})
        rows[f"HeterRec, {name}"] = Row(data, "heterrec", {**CODES, **more}, DEFAULT)
    return Experiment(data, rows, trained)


# --- a million items ---

CASES = 1000
"""Users who are asked for; each is compared with all items."""
MILLION = {
    "loss over a sample": {**CODES, "epochs": 2, "negatives": 2048},
    "loss over codes": {**CODES, "epochs": 2, "objective": "codes"},
}


def parts_of(folder: Path) -> list[Path]:
    """The files of a table in parts."""
    return sorted(folder.glob("part-*.parquet"))


def million_ids(context: Context) -> SemanticIDs:
    """Of all items of the world, by RQ-KMeans of the first part, 6 x 100."""
    parts = parts_of(context.data / "world" / "catalogue")

    def fit() -> Any:
        made = model_class("tokenizer", "rqkmeans")(codebook_size=100, seed=0, refinement=0)
        made.fit(read_catalogue(parts[0]))
        return made

    tokenizer: Tokenizer[Any] = Tokenizer.load(context.kept("world RQ-KMeans", fit))

    def encoded(items: Catalogue) -> tuple[pa.Array, np.ndarray]:
        return items.item_ids, tokenizer.encode(items)

    made = [encoded(read_catalogue(part)) for part in parts]
    names = pa.concat_arrays([names for names, _ in made])
    return SemanticIDs.build(names, np.concatenate([c for _, c in made]), tokenizer.codebook_sizes)


def million(settings: Settings, context: Context) -> Made:
    """HeterRec on codes alone, learned from the first part of the log."""
    log = read_interactions(parts_of(context.data / "world" / "interactions")[0])
    every = RetrievalData.of(log, million_ids(context), SplitSettings(min_interactions=0))
    some = np.random.default_rng(0).permutation(len(every.test.targets))[:CASES]
    data = every._replace(validation=every.validation.take(some), test=every.test.take(some))
    model = model_class("recommender", "heterrec")(device="cpu", seed=context.seed, **settings)
    split = World(data, None, np.unique(data.test.users))  # numbers stand for their names
    cost = fitted(model, split, context)
    made = measured(model, split)
    return Made(model.settings.to_dict(), {**made.figures, **cost}, made.users, model.log)


EXPERIMENTS = {
    **{f"sampled_loss_{data}": compared(data) for data in EPOCHS},
    "sampled_loss_million": Experiment("world", MILLION, million, seeds=(0,), alone=True),
}

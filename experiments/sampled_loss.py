"""The loss over a sample of the items against that over all of them, seed by seed.

Reduced settings, the same for both: narrow networks and few epochs. The sample is a sixth of the
items, drawn anew in every step, beside the targets of the step.
"""

from __future__ import annotations

from experiments.experiment import Experiment
from experiments.retrieval import DEFAULT, Row, Settings, trained

SMALL: Settings = {"hidden_dim": 32, "history": 20, "patience": 100, "learning_rate": 0.004}
CODES: Settings = {**SMALL, "token_layers": 1, "item_token": False}
EPOCHS = {"beauty": 3}
SAMPLES = {"beauty": 2048}
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


EXPERIMENTS = {f"sampled_loss_{data}": compared(data) for data in EPOCHS}

"""The rows of the tables of stage 2, and the settings that a sweep tries."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from finetuning_starts import HETERREC, TOKENIZERS, Kind

STAGE2: dict[str, dict[str, Any]] = {
    "toyshop": {"epochs": 6, "learning_rate": 5e-4},
    "retrieval": {"epochs": 3},
    "ranking": {"epochs": 4},
    "beauty": {"epochs": 3},
}
"""What all rows of stage 2 share; the rest are the defaults."""

FROM_SCRATCH: dict[str, dict[str, dict[str, Any]]] = {
    "toyshop": {
        "longer": {"epochs": 21, "tokenizer_rate": 0.0},
        "fine-tuned": {"epochs": 21, "tokenizer_rate": 0.125},
        "fine-tuned jointly": {"epochs": 21, "mode": "joint", "tokenizer_rate": 0.00075},
    },
    "retrieval": {
        "longer": {"epochs": 8, "tokenizer_rate": 0.0},
        "fine-tuned": {"epochs": 8},
    },
    "ranking": {
        "longer": {"epochs": 6, "tokenizer_rate": 0.0},
        "fine-tuned": {"epochs": 6},
        "fine-tuned jointly": {"epochs": 6, "mode": "joint"},
    },
}
"""Stage 2 with a recommender that has learned nothing: as many epochs as both stages of the others
have, at the rate of the first, and the tokenizer at the rate that it has in theirs."""

NO_ITEM_IDS = {"item_id": False}
"""A ranker that knows items by their codes alone."""
ITEM_TOKENS = {
    "item_token": True,
    "epochs": HETERREC["beauty"]["epochs"] + STAGE2["beauty"]["epochs"],
}
"""Beauty: as many epochs as the first stage and the second together."""
CONVERGED = {"epochs": 20}
"""ML-1M: a recommender that has nothing to gain from longer training at its own rate."""
AT_REST = {"learning_rate": 5e-4}
"""Stage 2 after it, which must not undo what was learned."""

WEIGHTS = (0.1, 1.0)
"""Of items without interactions among the competitors: a little, and as if they were refused."""

SWEEP: dict[str, dict[str, dict[str, Any]]] = {
    "toyshop": {
        "longer": {"tokenizer_rate": 0.0},
        "alternating": {},
        "alternating, rate 0.1": {"tokenizer_rate": 0.1},
        "alternating, rate 2": {"tokenizer_rate": 2.0},
        "alternating, weight 0": {"behaviour_weight": 0.0},
        "alternating, weight 10": {"behaviour_weight": 10.0},
        "alternating, nothing wanted": {"wanted_weight": 0.0},
        "alternating, 2 nearest": {"nearest": 2},
        "alternating, 16 nearest": {"nearest": 16},
        "alternating, tau 0.07": {"temperature": 0.07},
        "alternating, undisturbed": {"input_noise": 0.0},
        "alternating, anchor 5": {"reconstruction_weight": 5.0, "auxiliary_weight": 5.0},
        "joint, rate 0.003": {"mode": "joint"},
        "joint, rate 0.01": {"mode": "joint", "tokenizer_rate": 0.01},
        "joint, rate 0.03": {"mode": "joint", "tokenizer_rate": 0.03},
        "joint, rate 0.1": {"mode": "joint", "tokenizer_rate": 0.1},
        "joint, detached targets": {
            "mode": "joint", "tokenizer_rate": 0.03, "target_codes": "detached",
        },
        "joint, tau 0.03": {"mode": "joint", "tokenizer_rate": 0.03, "temperature": 0.03},
        "joint, no anchor": {
            "mode": "joint", "tokenizer_rate": 0.03, "reconstruction_weight": 0.0,
            "auxiliary_weight": 0.0,
        },
        "joint, noise 0.5": {"mode": "joint", "tokenizer_rate": 0.03, "noise": 0.5},
        "joint, 4 refreshes": {"mode": "joint", "tokenizer_rate": 0.03, "refreshes": 4},
    },
    "ranking": {
        "longer": {"tokenizer_rate": 0.0},
        "longer, learning rate 1e-4": {"tokenizer_rate": 0.0, "learning_rate": 1e-4},
        "alternating": {},
        "alternating, learning rate 1e-4": {"learning_rate": 1e-4, "tokenizer_rate": 5.0},
        "alternating, rate 0.1": {"tokenizer_rate": 0.1},
        "joint, rate 0.003": {"mode": "joint"},
        "joint, rate 0.03": {"mode": "joint", "tokenizer_rate": 0.03},
        "joint, rate 0.3": {"mode": "joint", "tokenizer_rate": 0.3},
        "joint, learning rate 1e-4": {
            "mode": "joint", "learning_rate": 1e-4, "tokenizer_rate": 0.3,
        },
    },
}  # fmt: skip
"""What --sweep tries in a setup."""


class Row(NamedTuple):
    """A row: what it starts from, and its settings of stage 2; None stays at the start."""

    kind: Kind
    settings: Mapping[str, Any] | None = None


def rows(setup: str) -> dict[str, Row]:
    """The rows of a table, by name; SASRec, where it is one, has a maker of its own."""
    stages: dict[str, Mapping[str, Any] | None] = {
        "frozen": None,
        "longer": {**STAGE2[setup], "tokenizer_rate": 0.0},
        "fine-tuned": STAGE2[setup],
        "fine-tuned jointly": {**STAGE2[setup], "mode": "joint"},
    }
    found: dict[str, Row] = {}
    for name, behaviour in itertools.product(TOKENIZERS, (False, True)):
        if setup == "beauty" and name == "MS-RQ-VAE" and not behaviour:
            continue  # of one modality it is the aligned one
        found |= _rows(Kind(name, behaviour), stages)
        if setup == "ranking":
            continue
        for weight in WEIGHTS:
            kind = Kind(name, behaviour, {"unmet_weight": weight}, f"model, weight {weight:g}")
            found |= _rows(kind, {f"frozen, weight {weight:g}": None})
        if setup == "beauty":
            found |= _rows(Kind(name, behaviour, ITEM_TOKENS, "tokens"), {"item tokens": None})
    for behaviour in (False, True):
        if setup == "retrieval":
            kind = Kind("MMQ", behaviour, CONVERGED, "converged")
            at_rest = {each: how and {**how, **AT_REST} for each, how in stages.items()}
            found |= _rows(kind, at_rest, "20 epochs")
        if setup == "ranking":
            found |= _rows(
                Kind("MMQ", behaviour, NO_ITEM_IDS, "no item IDs"), stages, "no item IDs"
            )
        kind, of = Kind("MMQ", behaviour, {"epochs": 0}, "untrained"), "from scratch"
        if setup == "ranking":  # by their own IDs a ranker knows items whatever their codes are
            kind = kind._replace(model={"epochs": 0, **NO_ITEM_IDS}, kept="untrained, no item IDs")
            of = f"no item IDs, {of}"
        untrained = FROM_SCRATCH.get(setup, {})
        to_the_end = {each: {**how, "patience": how["epochs"]} for each, how in untrained.items()}
        found |= _rows(kind, to_the_end, of)
    return found


def _rows(
    kind: Kind, stages: Mapping[str, Mapping[str, Any] | None], of: str = ""
) -> dict[str, Row]:
    """A row for each stage; ``of`` says what is not usual about the recommender."""
    title = f"{kind.name}{' with behaviour' * kind.behaviour}{of and f', {of}'}"
    return {f"{title}, {stage}": Row(kind, how) for stage, how in stages.items()}

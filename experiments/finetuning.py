"""Stage 2: frozen IDs, longer training, fine-tuned IDs; with and without behaviour.

For each tokenizer, on the content alone and with behaviour as one more modality (SVD of the shifted
positive mutual information of the training part; items without history borrow it by their content;
IDs have six codes all the same): a recommender on its IDs (*frozen*), the same trained on with the
tokenizer frozen (*longer*, the control), and fine-tuned for as many epochs: alternating
(*fine-tuned*) or at every step (*fine-tuned jointly*). In retrieval also a recommender that lets
items without interactions compete a little (*weight 0.1*) or fully (*weight 1*); on logs of users
also SASRec, on Beauty one whose items have tokens of their own beside their codes (*item tokens*);
in ranking also one that knows items by their codes alone (*no item IDs*). *From scratch* is a
recommender that has learned nothing before. ``sweep_*`` tries settings of stage 2 for MMQ on the
content, seed 0, by the validation part alone. ``new_items_*`` measures frozen IDs with bonuses for
items without interactions. toyshop is retrieval in a generated shop, another for every seed (101,
102, ...), where the words say a toy's team, the picture shows its badge, and only whether the two
match decides what sells. Beauty is retrieval by titles alone, where an aligned RQ-VAE of the
content is a separated one too. Retrieval withholds 5% of the items, another sample for every seed;
ranking has the log's own split.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments import ranking, retrieval
from experiments.cells import Made
from experiments.data import LOGS, world
from experiments.experiment import Context, Experiment
from experiments.new_items import curve
from experiments.retrieval import SASREC_BEAUTY, SASREC_ML1M, Settings
from experiments.starts import DATA, HETERREC, TOKENIZERS, Kind, Start, start
from mmq.finetuning import FinetuneSettings, finetune
from mmq.recommenders import SASRec

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

SASREC: dict[str, Settings] = {
    "retrieval": SASREC_ML1M,
    "beauty": {**SASREC_BEAUTY, "hidden_dim": 64},
}
"""Setups with a row of it."""
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
BONUSES = (-100.0, -2.0, -1.0, 0.0, 1.0)
"""What is added to the scores of items without interactions; at -100 old items are alone."""

AT_003 = {"mode": "joint", "tokenizer_rate": 0.03}
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
        "joint, rate 0.03": AT_003,
        "joint, rate 0.1": {"mode": "joint", "tokenizer_rate": 0.1},
        "joint, detached targets": {**AT_003, "target_codes": "detached"},
        "joint, tau 0.03": {**AT_003, "temperature": 0.03},
        "joint, no anchor": {**AT_003, "reconstruction_weight": 0.0, "auxiliary_weight": 0.0},
        "joint, noise 0.5": {**AT_003, "noise": 0.5},
        "joint, 4 refreshes": {**AT_003, "refreshes": 4},
    },
    "ranking": {
        "longer": {"tokenizer_rate": 0.0},
        "longer, learning rate 1e-4": {"tokenizer_rate": 0.0, "learning_rate": 1e-4},
        "alternating": {},
        "alternating, learning rate 1e-4": {"learning_rate": 1e-4, "tokenizer_rate": 5.0},
        "alternating, rate 0.1": {"tokenizer_rate": 0.1},
        "joint, rate 0.003": {"mode": "joint"},
        "joint, rate 0.03": AT_003,
        "joint, rate 0.3": {"mode": "joint", "tokenizer_rate": 0.3},
        "joint, learning rate 1e-4": {
            "mode": "joint", "learning_rate": 1e-4, "tokenizer_rate": 0.3,
        },
    },
}  # fmt: skip
"""What is tried in a setup."""


class Row(NamedTuple):
    """A row: its setup, what it starts from, and its settings of stage 2; None stays there.

    A row that starts from nothing is SASRec.
    """

    setup: str
    kind: Kind | None
    settings: Settings | None = None


def rows(setup: str) -> dict[str, Row]:
    """The rows of a table, by name."""
    stages: dict[str, Settings | None] = {
        "frozen": None,
        "longer": {**STAGE2[setup], "tokenizer_rate": 0.0},
        "fine-tuned": STAGE2[setup],
        "fine-tuned jointly": {**STAGE2[setup], "mode": "joint"},
    }
    found: dict[str, Row] = {"SASRec": Row(setup, None)} if setup in SASREC else {}
    for name, behaviour in itertools.product(TOKENIZERS, (False, True)):
        if setup == "beauty" and name == "MS-RQ-VAE" and not behaviour:
            continue  # of one modality it is the aligned one
        found |= _staged(setup, Kind(name, behaviour), stages)
        if setup == "ranking":
            continue
        for weight in WEIGHTS:
            kind = Kind(name, behaviour, {"unmet_weight": weight}, f"model, weight {weight:g}")
            found |= _staged(setup, kind, {f"frozen, weight {weight:g}": None})
        if setup == "beauty":
            kind = Kind(name, behaviour, ITEM_TOKENS, "tokens")
            found |= _staged(setup, kind, {"item tokens": None})
    for behaviour in (False, True):
        found |= _special(setup, behaviour, stages)
    return found


def _special(setup: str, behaviour: bool, stages: Mapping[str, Settings | None]) -> dict[str, Row]:
    """Rows of MMQ with other recommenders: trained to the end, without item IDs, untrained."""
    found: dict[str, Row] = {}
    if setup == "retrieval":
        kind = Kind("MMQ", behaviour, CONVERGED, "converged")
        at_rest = {each: how and {**how, **AT_REST} for each, how in stages.items()}
        found |= _staged(setup, kind, at_rest, "20 epochs")
    if setup == "ranking":
        kind = Kind("MMQ", behaviour, NO_ITEM_IDS, "no item IDs")
        found |= _staged(setup, kind, stages, "no item IDs")
    kind, of = Kind("MMQ", behaviour, {"epochs": 0}, "untrained"), "from scratch"
    if setup == "ranking":  # by their own IDs a ranker knows items whatever their codes are
        kind = kind._replace(model={"epochs": 0, **NO_ITEM_IDS}, kept="untrained, no item IDs")
        of = f"no item IDs, {of}"
    untrained = FROM_SCRATCH.get(setup, {})
    to_the_end = {each: {**how, "patience": how["epochs"]} for each, how in untrained.items()}
    return found | _staged(setup, kind, to_the_end, of)


def _staged(
    setup: str, kind: Kind, stages: Mapping[str, Settings | None], of: str = ""
) -> dict[str, Row]:
    """A row for each stage; ``of`` says what is not usual about the recommender."""
    title = f"{kind.name}{' with behaviour' * kind.behaviour}{of and f', {of}'}"
    return {f"{title}, {stage}": Row(setup, kind, how) for stage, how in stages.items()}


# --- cells ---


def staged(row: Row, context: Context) -> Made:
    """A recommender as it starts, or after stage 2: figures of the test and of cold items."""
    if row.kind is None:
        return sasrec(row.setup, context)
    begun = start(row.setup, row.kind, context)
    settings, figures, log = {}, {}, []
    if row.settings is not None:
        chosen = FinetuneSettings(**row.settings, seed=context.seed)
        fit = finetune(begun.tokenizer, begun.student, begun.data, begun.catalogue, chosen)
        settings, log = chosen.to_dict(), fit.log
        figures = {
            "validation": fit.after,
            "best_epoch": fit.best_epoch,
            "seconds_per_epoch": fit.seconds / len(fit.log),
        }
    made = measured(begun)
    figures = {**figures, **made.figures, "held_out_fvu": unmet_fvu(begun)}
    return Made(settings, figures, made.users, log)


def sasrec(setup: str, context: Context) -> Made:
    """SASRec on the log of a setup, with the same items withheld."""
    log = LOGS[DATA[setup]].liked(context.data)
    split = world(log, log.items.ids, context.seed)
    model = SASRec(**SASREC[setup], seed=context.seed)
    cost = retrieval.fitted(model, split, context)
    made = retrieval.measured(model, split)
    return made._replace(settings=model.settings.to_dict(), figures={**made.figures, **cost})


def measured(begun: Start) -> Made:
    """On the test part, and on cold items."""
    if begun.split is None:
        return ranking.measured(begun.student, begun.data)
    made = retrieval.measured(begun.student, begun.split)
    if begun.factors:
        made.figures["pairing"] = pairing(begun.student.semantic_ids.codes, begun.factors)
    return made


def pairing(codes: np.ndarray, factors: Mapping[str, np.ndarray]) -> float:
    """By how many codes more two toys are alike if their pairing, which sells them, is the same.

    Of toys that differ in team and in badge, so that neither words nor picture give it away.
    """
    differ = [factors[name][:, None] != factors[name] for name in ("team", "badge")]
    compared = np.triu(differ[0] & differ[1], 1)
    same = factors["pairing"][:, None] == factors["pairing"]
    shared = sum((column[:, None] == column).astype(np.int16) for column in codes.T)
    return float(shared[compared & same].mean() - shared[compared & ~same].mean())


def unmet_fvu(begun: Start) -> float:
    """FVU of the items that nobody liked in the training part; the tokenizer saw their content."""
    _, met = begun.data.positives()
    ids = begun.data.item_ids.take(np.setdiff1d(np.arange(len(begun.data.item_ids)), met))
    items = begun.catalogue.take(begun.catalogue.rows(ids.to_pylist()))
    return float(begun.tokenizer.measure(items).fvu)


def swept(row: Row, context: Context) -> Made:
    """Validation figures before and after stage 2."""
    assert row.kind is not None
    begun = start(row.setup, row.kind, context)
    chosen = FinetuneSettings(**row.settings or {})
    fit = finetune(begun.tokenizer, begun.student, begun.data, begun.catalogue, chosen)
    return Made(chosen.to_dict(), {"before": fit.before, "after": fit.after}, log=fit.log)


def favoured(row: Row, context: Context) -> Made:
    """What frozen IDs find of old and new items with a bonus for new ones."""
    assert row.kind is not None
    begun = start(row.setup, row.kind, context)
    assert begun.split is not None
    assert begun.split.cold is not None
    found = curve(begun.student, begun.data.test, begun.split.cold, BONUSES)
    return Made({}, {"bonus": found})


def _frozen(setup: str) -> dict[str, Row]:
    return {
        name: row
        for name, row in rows(setup).items()
        if row.kind and row.settings is None and not row.kind.model
    }


EXPERIMENTS = {
    **{
        f"finetuning_{setup}": Experiment(data, rows(setup), staged, setup != "toyshop")
        for setup, data in DATA.items()
    },
    **{
        f"sweep_{setup}": Experiment(
            DATA[setup],
            {
                name: Row(setup, Kind("MMQ"), {**STAGE2[setup], **changes})
                for name, changes in tried.items()
            },
            swept,
            setup != "toyshop",
            seeds=[0],
        )
        for setup, tried in SWEEP.items()
    },
    **{
        f"new_items_{setup}": Experiment(data, _frozen(setup), favoured, setup != "toyshop")
        for setup, data in DATA.items()
        if setup != "ranking"
    },
}

"""Every tokenizer on the same embeddings, tuned with the same budget: the quantisation table.

The items are shuffled once; seed s is tested on the s-th tenth of them and fitted on the other
nine. Tuning (``tuning_*``) sees none of the tested tenths: it fits on nine tenths of the remaining
items and selects on the last, by the fraction of variance unexplained from the codes alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from experiments import results
from experiments.cells import Made
from experiments.data import articles, films, toys, use_of
from experiments.experiment import Context, Experiment
from mmq import Catalogue
from mmq.model import model_class
from mmq.tokenizers._inputs import unit_inputs
from mmq.tokenizers._tuning import TunePlan, tune

REFINEMENT = 3
"""Sweeps over the codes for all tokenizers whose codewords add up; OPQ's codes are the best as they
are. The group "unrefined" has the same settings without."""
SEEDS = 3
SHORT = 60
"""Epochs of ablations and lengths."""


class Dataset(NamedTuple):
    """How to get the items, and what all its tokenizers are given: a reduced length of training."""

    items: Callable[[Path], Catalogue]
    modalities: int
    epochs: int
    trials: int
    common: Mapping[str, Any] = MappingProxyType({})


DATASETS = {
    "ml1m": Dataset(films, 2, 150, 12),
    "beauty": Dataset(articles, 1, 60, 6),
    "toyshop": Dataset(lambda _: toys(2000, 301), 2, 150, 6, {"codebook_size": 64}),
}
BASELINES = {"RQ-VAE": "rqvae", "RQ-KMeans": "rqkmeans", "OPQ": "opq"}
TRAINED = {"mmq", "rqvae"}
ALONE = "MMQ, no shared experts"

ABLATIONS: dict[str, dict[str, Any]] = {
    "tuned MMQ": {},
    "w/o cosine (L2)": {"distance": "l2"},
    "w/o auxiliary loss": {"auxiliary_weight": 0.0},
    "w/o orthogonality": {"orthogonality_weight": 0.0},
    "w/o shared experts (0 + 3 + 3)": {"shared_experts": 0, "specific_experts": 3},
    "output orthogonality": {"orthogonality": "output"},
    "w/o index estimator (EMA)": {"codebook": "ema"},
    "w/o revival": {"revival": False},
    "w/o noise": {"input_noise": 0.0},
    "start from a rotation": {"start": "rotation"},
    "latent of 128": {"latent_dim": 128},
    "constant learning rate": {"schedule": "constant"},
    "entropy regularisation": {"entropy_weight": 1.0},
    "150 epochs": {"epochs": 150},
}
"""Changes of the tuned MMQ, over :data:`SHORT` epochs; the next four are the paper's Table 2 as far
as stage 1 goes."""
LENGTHS = (2, 6, 12, 18)


class Fit(NamedTuple):
    """A row: a tokenizer of a data set, and what makes it the row."""

    data: str
    kind: str
    settings: Mapping[str, Any]


def kinds_of(data: str, length: int = 6) -> dict[str, Fit]:
    """The tokenizers; with a single modality aligned and separated are one."""
    dataset = DATASETS[data]
    single = dataset.modalities == 1
    shared, specific = (length // 3, length - length // 3) if single else (length // 3,) * 2
    if length == 2:
        shared, specific = 0, 2 if single else 1
    refined = {**dataset.common, "refinement": REFINEMENT}
    own = {"shared_experts": shared, "specific_experts": specific, "epochs": dataset.epochs}
    ours = {**refined, **own, "learning": "gradient"}
    found = {"MMQ": Fit(data, "mmq", ours)}
    if not single and length > 2:
        alone = {"shared_experts": 0, "specific_experts": length // 2}
        found[ALONE] = Fit(data, "mmq", {**ours, **alone})
    for name, kind in BASELINES.items():
        fixed = {**(dataset.common if kind == "opq" else refined), "length": length}
        if kind in TRAINED:
            fixed["epochs"] = dataset.epochs
        if single:
            found[name] = Fit(data, kind, fixed)
            continue
        for fusion, short in (("aligned", "MA"), ("separated", "MS")):
            found[f"{short}-{name}"] = Fit(data, kind, {**fixed, "fusion": fusion})
    return found


class Folds(NamedTuple):
    """Rows of the items: a tested tenth a seed, and those that no seed tests."""

    tested: list[np.ndarray]
    untested: np.ndarray

    @classmethod
    def of(cls, items: int, seeds: int = SEEDS) -> Folds:
        """Of a fixed shuffle."""
        order = np.random.default_rng(0).permutation(items)
        each = items // 10
        tested = [np.sort(order[s * each : (s + 1) * each]) for s in range(seeds)]
        return cls(tested, np.sort(order[seeds * each :]))


# --- tuning ---


def tuned(row: Fit, context: Context) -> Made:
    """The settings that a search has found, and its trials."""
    dataset = DATASETS[row.data]
    items = dataset.items(context.data)
    seen = items.take(Folds.of(len(items)).untested)
    plan, folder = TunePlan(trials=dataset.trials), context.places.unfinished / "tuning"
    found = tune(seen, row.kind, plan, dict(row.settings), folder, "resume")
    trials = [
        {
            "number": trial.number,
            "rung": trial.rung,
            "settings": trial.settings,
            "fvu_codes": trial.figures["fvu_codes"] if trial.figures else None,
            "error": trial.error,
            "seconds": trial.seconds,
        }
        for trial in found.trials
    ]
    return Made(dict(found.best.settings), {"seconds": found.seconds, "trials": trials})


def settings_found(data: str, name: str) -> dict[str, Any]:
    """Tuned settings of a tokenizer, as the results have them.

    MMQ without shared experts has those of MMQ, and of one modality there is a single RQ-VAE.
    """
    known = {row["row"]: row["settings"] for row in results.read(f"tuning_{data}")}
    plain = name.removeprefix("MA-").removeprefix("MS-")
    return dict(known["MMQ"] if name == ALONE else known.get(name) or known[plain])


# --- fits ---


def quantised(row: Fit, context: Context) -> Made:
    """One fit on all but the tested tenth: figures, and the squared error of each tested item."""
    items = DATASETS[row.data].items(context.data)
    test = Folds.of(len(items)).tested[context.seed]
    settings = {**row.settings, "seed": context.seed}
    tokenizer = model_class("tokenizer", row.kind)(**settings)
    figures = {
        "kind": row.kind, "items": len(items), **fit_and_measure(tokenizer, items, test),
    }  # fmt: skip
    users = {"figure": errors(tokenizer, items.take(test)), "user": test}
    return Made(settings, figures, users)


def fit_and_measure(tokenizer: Any, items: Catalogue, test: np.ndarray) -> dict[str, Any]:
    """Fit to all items but the tested rows; errors of both, of the codes alone and with gates."""
    result = tokenizer.fit(items.take(np.setdiff1d(np.arange(len(items)), test)))
    codes, held = tokenizer.encode(items), tokenizer.measure(items.take(test))
    return {
        "l_recon fit": result.l_recon_codes["fit"],
        "l_recon held_out": held.l_recon_codes,
        "fvu fit": result.fvu_codes["fit"],
        "fvu held_out": held.fvu_codes,
        "gated l_recon fit": result.l_recon["fit"],
        "gated l_recon held_out": held.l_recon,
        **use_of(codes, tokenizer.codebook_sizes),
        "fit seconds": result.seconds,
    }


def errors(tokenizer: Any, items: Catalogue) -> np.ndarray:
    """Squared error of every item from its codes alone, summed over what the item has."""
    x, present = unit_inputs(items, tokenizer.dimensions)
    decoded = tokenizer.decode(tokenizer.encode(items))
    widths = list(tokenizer.dimensions.values())
    seen = present.numpy().repeat(widths, axis=1)
    output = np.concatenate(list(decoded.values()), axis=1)
    found: np.ndarray = np.square((x.numpy() - output) * seen).sum(axis=1)
    return found


def encoded(row: Fit, context: Context) -> Made:
    """Items a second, codes as they are found and refined; training does not matter."""
    items = DATASETS[row.data].items(context.data)
    figures = {"as found": _speed(items, row.kind, {**row.settings, **_plain(row.settings)})}
    if _plain(row.settings):
        figures["refined"] = _speed(items, row.kind, row.settings)
    return Made({}, figures)


def _speed(items: Catalogue, kind: str, settings: Mapping[str, Any]) -> float:
    """Items a second of the fastest of five encodings."""
    brief = {"epochs": 1} if kind in TRAINED else {"iterations": 1}
    tokenizer = model_class("tokenizer", kind)(**{**settings, **brief})
    tokenizer.fit(items)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        tokenizer.encode(items)
        seconds.append(time.perf_counter() - started)
    return len(items) / min(seconds)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"refinement": 0} if "refinement" in settings else {}


def measured(row: Fit, context: Context) -> Made:
    """A fit, or, of the group "speed", its encoding."""
    speed, kind = row.kind.startswith("speed "), row.kind.removeprefix("speed ")
    return (encoded if speed else quantised)(row._replace(kind=kind), context)


def rows_of(data: str) -> dict[str, Fit]:
    """The rows: tuned, the same unrefined, how fast they encode, ablations of MMQ, lengths."""
    found: dict[str, Fit] = {}
    for name, row in kinds_of(data).items():
        best = {**settings_found(data, name), **row.settings}
        found[f"tuned | {name}"] = row._replace(settings=best)
        if _plain(best):
            found[f"unrefined | {name}"] = row._replace(settings={**best, **_plain(best)})
        found[f"speed | {name}"] = Fit(data, f"speed {row.kind}", best)
        if name == "MMQ":
            for change, values in ABLATIONS.items():
                settings = {**best, "epochs": SHORT, **values}
                found[f"ablation | {change}"] = row._replace(settings=settings)
    for length in LENGTHS:
        for name, row in kinds_of(data, length).items():
            short = {"epochs": SHORT} if row.kind in TRAINED else {}
            best = {**settings_found(data, name), **row.settings, **short}
            found[f"length {length} | {name}"] = row._replace(settings=best)
    return found


def _searched(data: str) -> dict[str, Fit]:
    return {name: row for name, row in kinds_of(data).items() if name != ALONE}


EXPERIMENTS = {
    **{
        f"tuning_{data}": Experiment(data, _searched(data), tuned, data != "toyshop", seeds=[0])
        for data in DATASETS
    },
    **{
        f"quantisers_{data}": Experiment(
            data,
            rows_of(data),
            measured,
            data != "toyshop",
            once=[f"speed | {name}" for name in kinds_of(data)],
        )
        for data in DATASETS
    },
}

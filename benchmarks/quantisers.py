"""Every tokenizer on the same embeddings, tuned with the same budget: the quantisation table.

    python benchmarks/quantisers.py DATASET [--data DATA] [--seeds 3] [--only NAME,..]
                                    [--what PART,..] [--out FILE]

PART is tuning, tuned, unrefined, ablations, lengths or speed (all if none is named).
DATASET is ml1m or beauty (DATA is the folder of the data set) or toyshop (generated). The items are
shuffled once; seed s is tested on the s-th tenth of them and fitted on the other nine. Tuning sees
none of the tested tenths: it fits on nine tenths of the remaining items and selects on the last
(figure: fraction of variance unexplained from the codes alone). Every fit is stored when it is done
and never run again. Squared errors of the tested items go to an .npz beside the results, for the
paired tests.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from catalogues import beauty
from common import RESULTS, mean_sd, provenance, read, write
from tokenizers_ml1m import catalogue as ml1m

from mmq import Catalogue
from mmq.data.datasets.toyshop import ToyshopSettings, toyshop
from mmq.encoders.toyshop import embed_toyshop
from mmq.experiments.tuning import TunePlan, tune
from mmq.metrics import quantisation
from mmq.model import model_class
from mmq.tokenizers.inputs import unit_inputs

REFINEMENT = 3
"""Sweeps over the codes for all tokenizers whose codewords add up; OPQ's codes are the best as they
are. The group "unrefined" has the same settings without."""

TOYSHOP = ToyshopSettings(items=2000, seed=301)


class Dataset(NamedTuple):
    """How to get the items, and what all its tokenizers are given: a reduced length of training."""

    load: Callable[[Path], Catalogue]
    common: dict[str, Any]
    epochs: int
    trials: int


DATASETS = {
    "ml1m": Dataset(ml1m, {}, 150, 12),
    "beauty": Dataset(beauty, {}, 60, 6),
    "toyshop": Dataset(lambda _: embed_toyshop(toyshop(TOYSHOP)), {"codebook_size": 64}, 150, 6),
}

SHORT = 60
"""Epochs of ablations and lengths."""

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
    "latent of 128": {"latent_dim": 128},
    "constant learning rate": {"schedule": "constant"},
    "150 epochs": {"epochs": 150},
}
"""Changes of the tuned MMQ, over :data:`SHORT` epochs; the next four are the paper's Table 2 as far
as stage 1 goes."""

LENGTHS = (2, 6, 12, 18)


class Case(NamedTuple):
    """A row of the table."""

    kind: str
    fixed: dict[str, Any]


def cases(items: Catalogue, dataset: Dataset, length: int = 6) -> dict[str, Case]:
    """The tokenizers; with a single modality aligned and separated are one."""
    single = len(items.modalities) == 1
    shared, specific = (length // 3, length - length // 3) if single else (length // 3,) * 2
    if length == 2:
        shared, specific = 0, 2 if single else 1
    own = {"shared_experts": shared, "specific_experts": specific}
    refined = {**dataset.common, "refinement": REFINEMENT}
    found = {
        "MMQ": Case("mmq", {**refined, **own, "learning": "gradient", "epochs": dataset.epochs})
    }
    if not single and length > 2:
        alone = {"shared_experts": 0, "specific_experts": length // 2}
        found[ALONE] = Case("mmq", {**found["MMQ"].fixed, **alone})
    for name, kind in BASELINES.items():
        fixed = {**(dataset.common if kind == "opq" else refined), "length": length}
        if kind in TRAINED:
            fixed["epochs"] = dataset.epochs
        if single:
            found[name] = Case(kind, fixed)
            continue
        for fusion, short in (("aligned", "MA"), ("separated", "MS")):
            found[f"{short}-{name}"] = Case(kind, {**fixed, "fusion": fusion})
    return found


class Folds(NamedTuple):
    """Rows of the items: a tested tenth a seed, and those that no seed tests."""

    tested: list[np.ndarray]
    untested: np.ndarray

    @classmethod
    def of(cls, items: int, seeds: int) -> Folds:
        """Of a fixed shuffle."""
        order = np.random.default_rng(0).permutation(items)
        each = items // 10
        tested = [np.sort(order[s * each : (s + 1) * each]) for s in range(seeds)]
        return cls(tested, np.sort(order[seeds * each :]))


def run(items: Catalogue, case: Case, settings: dict[str, Any], test: np.ndarray) -> Any:
    """One fit on all but the tested rows: figures, and the squared errors of those rows."""
    train = np.setdiff1d(np.arange(len(items)), test)
    tokenizer = model_class("tokenizer", case.kind)(**settings)
    fitted, tested = items.take(train), items.take(test)
    result = tokenizer.fit(fitted)
    codes = tokenizer.encode(items)
    held = tokenizer.measure(tested)
    counts = quantisation.code_counts(codes, tokenizer.codebook_sizes)
    figures = {
        "l_recon fit": result.l_recon_codes["fit"],
        "l_recon held_out": held.l_recon_codes,
        "fvu fit": result.fvu_codes["fit"],
        "fvu held_out": held.fvu_codes,
        "gated l_recon fit": result.l_recon["fit"],
        "gated l_recon held_out": held.l_recon,
        "entropy": float(quantisation.entropy(counts).mean()),
        "utilisation": float(quantisation.utilisation(counts).mean()),
        "distinct_share": quantisation.sharing(codes).distinct_share,
        "fit seconds": result.seconds,
    }
    return figures, errors(tokenizer, tested)


def errors(tokenizer: Any, items: Catalogue) -> np.ndarray:
    """Squared error of every item from its codes alone, summed over what the item has."""
    x, present = unit_inputs(items, tokenizer.dimensions)
    decoded = tokenizer.decode(tokenizer.encode(items))
    widths = list(tokenizer.dimensions.values())
    seen = present.numpy().repeat(widths, axis=1)
    output = np.concatenate(list(decoded.values()), axis=1)
    return np.square((x.numpy() - output) * seen).sum(axis=1)


class Record:
    """The results file and the errors beside it."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.side = path, path.with_suffix(".npz")
        self.value = {**settings, **read(path)}
        self.cells: dict[str, Any] = self.value.setdefault("cells", {})
        self.tuning: dict[str, Any] = self.value.setdefault("tuning", {})
        self.errors: dict[str, np.ndarray] = {}
        if self.side.exists():
            with np.load(self.side) as stored:
                self.errors = dict(stored)

    def add(self, cell: str, value: dict[str, Any], error: np.ndarray) -> None:
        """Keep a cell."""
        self.cells[cell] = value
        self.errors[cell] = error.astype(np.float32)
        self.value["summary"] = summary(self.cells)
        self.value["paired"] = paired(self.cells, self.errors)
        np.savez_compressed(self.side, **self.errors)  # type: ignore[arg-type]
        write(self.path, self.value)
        figures = {name: round(number, 4) for name, number in value["figures"].items()}
        print(cell, figures, flush=True)


def summary(cells: dict[str, Any]) -> dict[str, Any]:
    """Mean and sd over the seeds."""
    groups: dict[str, list[dict[str, float]]] = {}
    for cell, value in cells.items():
        groups.setdefault(cell.rpartition(" | ")[0], []).append(value["figures"])
    return {
        group: {key: mean_sd([figures[key] for figures in runs]) for key in runs[0]}
        for group, runs in groups.items()
    }


def paired(cells: dict[str, Any], found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Tuned MMQ, with and without shared experts, against every other tuned row."""
    names = {cell.split(" | ")[1] for cell in cells if cell.startswith("tuned | ")}
    return {
        ours: {
            other: row
            for other in sorted(names - {ours})
            if (row := paired_rows(cells, found, f"tuned | {ours}", f"tuned | {other}"))
        }
        for ours in ("MMQ", ALONE)
        if ours in names
    }


def paired_rows(
    cells: dict[str, Any], found: dict[str, np.ndarray], ours: str, other: str
) -> dict[str, Any]:
    """Paired t-tests of two rows on the same tested items, and over the seeds' figures.

    Tested tenths are disjoint, so that every item counts once.
    """
    from scipy.stats import ttest_rel

    seeds = sorted(cell.rpartition(" | ")[2] for cell in cells if cell.startswith(f"{ours} | "))
    both = [seed for seed in seeds if f"{other} | {seed}" in cells]
    if len(both) < 2:
        return {}
    mine, theirs = (
        np.concatenate([found[f"{row} | {seed}"] for seed in both]) for row in (ours, other)
    )
    row = {
        "items": len(mine),
        "difference": float((mine - theirs).mean()),
        "p": float(ttest_rel(mine, theirs).pvalue),
    }
    for figure in ("fvu fit", "fvu held_out"):
        pairs = [
            [cells[f"{name} | {seed}"]["figures"][figure] for seed in both]
            for name in (ours, other)
        ]
        row[f"p over seeds, {figure}"] = float(ttest_rel(*pairs).pvalue)
    return row


def tuned(items: Catalogue, name: str, case: Case, record: Record) -> None:
    """Search settings on the items and keep the search."""
    if name not in record.tuning:
        plan = TunePlan(trials=record.value["trials"])
        found = tune(items, case.kind, plan, case.fixed)
        record.tuning[name] = {
            "settings": {**found.best.settings},
            "seconds": found.seconds,
            "trials": [
                {
                    "number": trial.number,
                    "rung": trial.rung,
                    "settings": trial.settings,
                    "fvu_codes": trial.figures["fvu_codes"] if trial.figures else None,
                    "error": trial.error,
                    "seconds": trial.seconds,
                }
                for trial in found.trials
            ],
        }
        write(record.path, record.value)
        print("tuning", name, found.best.settings, found.best.figures, found.seconds, flush=True)


def chosen(name: str, case: Case, record: Record) -> dict[str, Any] | None:
    """Tuned settings of a row; MMQ without shared experts has those of MMQ."""
    found = record.tuning.get("MMQ" if name == ALONE else name)
    return {**found["settings"], **case.fixed} if found else None


def encoding_speed(items: Catalogue, case: Case, settings: dict[str, Any]) -> float:
    """Items a second of the fastest of five encodings; how well it is trained does not matter."""
    brief = {"epochs": 1} if case.kind in TRAINED else {"iterations": 1}
    tokenizer = model_class("tokenizer", case.kind)(**{**settings, **brief})
    tokenizer.fit(items)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        tokenizer.encode(items)
        seconds.append(time.perf_counter() - started)
    return len(items) / min(seconds)


def measure_speed(items: Catalogue, dataset: Dataset, record: Record, origin: Any) -> None:
    """Encoding of all kinds in one run, codes as they are found and refined."""
    speed: dict[str, Any] = {**origin, "rows": {}}
    for name, case in cases(items, dataset).items():
        best = chosen(name, case, record)
        if best is None:
            continue
        row = {"as found": encoding_speed(items, case, {**best, **_unrefined(best)})}
        if _unrefined(best):
            row["refined"] = encoding_speed(items, case, best)
        speed["rows"][name] = row
        print("speed", name, row, flush=True)
    record.value["speed"] = speed
    write(record.path, record.value)


def _unrefined(settings: dict[str, Any]) -> dict[str, Any]:
    return {"refinement": 0} if "refinement" in settings else {}


def plan(items: Catalogue, dataset: Dataset, record: Record, what: set[str]) -> dict[str, Any]:
    """Row -> (case, settings), in the order of the table; tunes what is not tuned yet."""
    rows: dict[str, Any] = {}
    for name, case in cases(items, dataset).items():
        best = chosen(name, case, record)
        if best is None:
            continue
        if "tuned" in what:
            rows[f"tuned | {name}"] = (case, best)
        if "unrefined" in what and _unrefined(best):
            rows[f"unrefined | {name}"] = (case, {**best, **_unrefined(best)})
        if "ablations" in what and name == "MMQ":
            for change, values in ABLATIONS.items():
                rows[f"ablation | {change}"] = (case, {**best, "epochs": SHORT, **values})
    for length in LENGTHS if "lengths" in what else ():
        for name, case in cases(items, dataset, length).items():
            best = chosen(name, case, record)
            if best is not None:
                short = {"epochs": SHORT} if case.kind in TRAINED else {}
                rows[f"length {length} | {name}"] = (case, {**best, **short})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="rows whose name holds one of these, separated by commas")
    parser.add_argument("--what", default="tuning,tuned,unrefined,ablations,lengths,speed")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    dataset, what = DATASETS[arguments.dataset], set(arguments.what.split(","))
    items, origin = dataset.load(arguments.data), provenance()
    out = arguments.out or RESULTS / f"quantisers_{arguments.dataset}.json"
    plain = {"items": len(items), "epochs": dataset.epochs, "trials": dataset.trials}
    record = Record(out, {**plain, "short_epochs": SHORT, "refinement": REFINEMENT})
    folds = Folds.of(len(items), arguments.seeds)
    wanted = (arguments.only or "").split(",")
    if "tuning" in what:
        for name, case in cases(items, dataset).items():
            if name != ALONE and any(part in name for part in wanted):
                tuned(items.take(folds.untested), name, case, record)
    if "speed" in what:
        measure_speed(items, dataset, record, origin)
    for row, (case, settings) in plan(items, dataset, record, what).items():
        if not any(part in row for part in wanted):
            continue
        for seed, test in enumerate(folds.tested):
            cell = f"{row} | {seed}"
            if cell not in record.cells:
                chosen = {**settings, "seed": seed}
                figures, error = run(items, case, chosen, test)
                value = {"kind": case.kind, "settings": chosen, **origin, "figures": figures}
                record.add(cell, value, error)


if __name__ == "__main__":
    main()

"""Every tokenizer at its defaults on embeddings of many kinds, beside the Gaussian bound.

    python benchmarks/zoo.py [--data DATA] [--members NAME;..] [--rows NAME;..] [--seeds 3]
                             [--epochs 60] [--out FILE]

Members are those of :mod:`mmq.testing.zoo` and, with DATA (the folder that holds ml1m and beauty),
real ones. A seed makes the member anew (real ones: holds out another tenth) and seeds the fit. A
tenth is held out; the figure is the fraction of variance unexplained from the codes alone. All IDs
of a member have the same length and codebook size. RQ-VAE is trained for EPOCHS epochs, a reduced
setting. Every fit is stored when it is done and never run again. Seconds are those of the
processor, of one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from catalogues import beauty as beauty_reduced
from common import RESULTS, mean_sd, provenance, read, write
from tokenizers_ml1m import catalogue as ml1m_reduced

from mmq import Catalogue
from mmq.data.datasets.toyshop import ToyshopSettings, toyshop
from mmq.encoders.toyshop import embed_toyshop
from mmq.model import model_class
from mmq.testing.zoo import ZOO

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "MMQ": ("mmq", {}),
    "RQ-KMeans, aligned": ("rqkmeans", {"fusion": "aligned"}),
    "RQ-KMeans, separated": ("rqkmeans", {"fusion": "separated"}),
    "OPQ, aligned": ("opq", {"fusion": "aligned"}),
    "OPQ, separated": ("opq", {"fusion": "separated"}),
    "RQ-VAE, aligned": ("rqvae", {"fusion": "aligned"}),
    "RQ-VAE, separated": ("rqvae", {"fusion": "separated"}),
}
"""The first is compared with the others, which are as their papers have them."""


class Case(NamedTuple):
    """Items, and K."""

    load: Callable[[int], Catalogue]
    size: int
    about: str
    seeds: int | None = None


def generated() -> dict[str, Case]:
    """The members that are made from a seed."""

    def made(name: str) -> Callable[[int], Catalogue]:
        def load(seed: int) -> Catalogue:
            embeddings = ZOO[name].make(seed)
            return Catalogue.build(range(len(next(iter(embeddings.values())))), embeddings)

        return load

    found = {
        name: Case(made(name), member.codebook_size, member.about, 1 if name == "large" else None)
        for name, member in ZOO.items()
    }

    def shop(seed: int) -> Catalogue:
        return embed_toyshop(toyshop(ToyshopSettings(items=2000, seed=500 + seed)))

    return {**found, "toyshop": Case(shop, 64, "2,000 generated toys, light encoders")}


def real(data: Path) -> dict[str, Case]:
    """Films and articles, as their encoders give them and reduced, and made without any."""

    def films(_: int) -> Catalogue:
        folder = data / "ml1m"
        text, image = (np.load(folder / f"{n}.npy") for n in ("text_minilm", "image_effnet"))
        return Catalogue.build(range(len(text)), {"text": text, "image": image})

    def articles(_: int) -> Catalogue:
        text = np.load(data / "beauty" / "text_minilm.npy")
        return Catalogue.build(range(len(text)), {"text": text})

    return {
        "ML-1M, raw": Case(films, 100, "MiniLM and EfficientNet as they come"),
        "ML-1M, reduced": Case(lambda _: ml1m_reduced(data / "ml1m"), 100, "PCA of 256 each"),
        "Beauty, raw": Case(articles, 100, "titles, MiniLM as it comes"),
        "Beauty, reduced": Case(lambda _: beauty_reduced(data / "beauty"), 100, "PCA of 256"),
        "ML-1M, counted": Case(
            lambda _: counted(data / "ml1m"), 100, "TF-IDF of texts, colours of posters"
        ),
    }


def counted(folder: Path) -> Catalogue:
    """TF-IDF of 2,000 words, and histograms of 64 colours; films without either left out."""
    from PIL import Image
    from sklearn.feature_extraction.text import TfidfVectorizer

    lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    texts = [f"{line['title']} {line.get('plot') or ''}" for line in lines]
    words = TfidfVectorizer(max_features=2000, stop_words="english", sublinear_tf=True)
    text = words.fit_transform(texts).toarray().astype(np.float32)
    colours = np.full((len(lines), 64), np.nan, np.float32)
    for row, line in enumerate(lines):
        path = folder / str(line.get("image"))
        if path.is_file():
            pixels = np.asarray(Image.open(path).convert("RGB")) // 64
            places = pixels.reshape(-1, 3) @ np.array([16, 4, 1])
            colours[row] = np.bincount(places, minlength=64) / len(places)
    text[~text.any(1)] = np.nan
    keep = ~np.isnan(text).all(1) | ~np.isnan(colours).all(1)
    return Catalogue.build(np.flatnonzero(keep), {"text": text[keep], "colours": colours[keep]})


def settings(row: str, case: Case, modalities: int, seed: int, epochs: int) -> dict[str, Any]:
    """Of a fit: IDs of six codes, of eight for three modalities."""
    kind, fixed = ROWS[row]
    found = {"codebook_size": case.size, "seed": seed, **fixed}
    if kind == "mmq":
        return found | ({"specific_experts": 4} if modalities == 1 else {})
    if kind == "rqvae":
        found["epochs"] = epochs
    return {**found, "length": 6 if modalities < 3 else 8}


def fit(row: str, case: Case, seed: int, epochs: int) -> dict[str, Any]:
    """One fit and its figures."""
    items = case.load(seed)
    values = settings(row, case, len(items.modalities), seed, epochs)
    tokenizer = model_class("tokenizer", ROWS[row][0])(**values)
    started = time.process_time()
    result = tokenizer.fit(items, hold_out=0.1)
    return {
        "held_out": result.fvu_codes["held_out"],
        "fit": result.fvu_codes["fit"],
        "bound": result.bound["fvu"],
        "bound_separate": result.bound["fvu_separate"],
        "utilisation": result.utilisation,
        "distinct_share": result.distinct_share,
        "seconds": time.process_time() - started,
        "chosen": result.chosen,
    }


def wanted(cases: dict[str, Case], rows: list[str], seeds: int) -> Iterator[tuple[str, str, int]]:
    """All cells, seed after seed, so that what is broken off has whole seeds."""
    for seed in range(seeds):
        for name, case in cases.items():
            if seed < (case.seeds or seeds):
                yield from ((name, row, seed) for row in rows)


def summary(cells: dict[str, Any]) -> dict[str, Any]:
    """Means and deviations over the seeds, and how MMQ stands to the best of the others."""
    found: dict[str, Any] = {}
    for name, rows in cells.items():
        means = {
            row: {
                figure: mean_sd([run[figure] for run in runs.values()])
                for figure in (
                    "held_out",
                    "fit",
                    "bound",
                    "utilisation",
                    "distinct_share",
                    "seconds",
                )
            }
            for row, runs in rows.items()
        }
        found[name] = {"rows": means, "mmq_over_best": over_best(rows)}
    return found


def over_best(rows: dict[str, Any]) -> float | None:
    """MMQ's error over that of the best other row, each on the seeds that it and MMQ have."""
    ours = rows.get("MMQ", {})
    ratios = []
    for row in list(ROWS)[1:]:
        both = sorted(ours.keys() & rows.get(row, {}).keys())
        if both:
            sums = [sum(runs[seed]["held_out"] for seed in both) for runs in (ours, rows[row])]
            ratios.append(sums[0] / sums[1])
    return max(ratios, default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--members", default=None)
    parser.add_argument("--rows", default=None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS / "zoo.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = {**(real(arguments.data) if arguments.data else {}), **generated()}
    if arguments.members:
        cases = {name: cases[name] for name in arguments.members.split(";")}
    rows = arguments.rows.split(";") if arguments.rows else list(ROWS)
    for name, row, seed in wanted(cases, rows, arguments.seeds):
        stored = read(arguments.out) or {"cells": {}}
        own = stored["cells"].setdefault(name, {}).setdefault(row, {})
        if str(seed) in own:
            continue
        own[str(seed)] = {**fit(row, cases[name], seed, arguments.epochs), **provenance()}
        stored["about"] = stored.get("about", {}) | {name: cases[name].about}
        stored["epochs of RQ-VAE"] = arguments.epochs
        stored["summary"] = summary(stored["cells"])
        write(arguments.out, stored)
        cell = own[str(seed)]
        print(name, row, seed, round(cell["held_out"], 4), f"{cell['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()

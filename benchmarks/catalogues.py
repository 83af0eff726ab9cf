"""The tokenizer on other kinds of catalogue: one modality, three, and a fifth of images missing.

    python benchmarks/catalogues.py --ml1m FOLDER --beauty FOLDER [--seeds 3]

The folders hold items.jsonl and text_minilm.npy (and ml1m image_effnet.npy). The third modality of
the films is their cast and crew, embedded by the light text encoder. 10% of the items are held out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, mean_sd, provenance, read, write

from mmq import Catalogue, MMQTokenizer
from mmq.data import Reduction
from mmq.encoders.light import LightTextEncoder
from mmq.semantic_ids import catalogue_facts, inspect_ids
from mmq.semantic_ids.verdict import verdict


def reduced(matrix: np.ndarray, dimension: int = 256) -> np.ndarray:
    """PCA of the rows that are present; the others stay NaN."""
    matrix = matrix.astype(np.float32)
    present = ~np.isnan(matrix).all(axis=1)
    out = np.full((len(matrix), dimension), np.nan, np.float32)
    out[present] = Reduction.fit(matrix[present], dimension).apply(matrix[present])
    return out


def items_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of items.jsonl."""
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def beauty(folder: Path) -> Catalogue:
    """Titles alone; the items without a title miss their only modality."""
    items = items_of(folder)
    text = np.load(folder / "text_minilm.npy").astype(np.float32)
    text[[not item.get("title") for item in items]] = np.nan
    return Catalogue.build([item["item"] for item in items], {"text": reduced(text)})


def films(folder: Path, cast: bool = False, missing: float = 0.0) -> Catalogue:
    """Text and posters, with cast and crew on request, and with posters taken away on request."""
    items = items_of(folder)
    embeddings = {
        "text": reduced(np.load(folder / "text_minilm.npy")),
        "image": reduced(np.load(folder / "image_effnet.npy")),
    }
    if missing:
        chosen = np.random.default_rng(0).random(len(items)) < missing
        embeddings["image"][chosen] = np.nan
    if cast:
        texts = [f"{item.get('director') or ''}. {item.get('actors') or ''}" for item in items]
        people = LightTextEncoder().encode(texts)
        people[[not text.strip(". ") for text in texts]] = np.nan
        embeddings["cast"] = reduced(people, 128)
    return Catalogue.build([item["item"] for item in items], embeddings)


def run(catalogue: Catalogue, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit, encode, inspect."""
    tokenizer = MMQTokenizer(**settings)
    result = tokenizer.fit(catalogue, hold_out=0.1)
    ids = tokenizer.ids(catalogue)
    quality = inspect_ids(ids, catalogue_facts([catalogue]))
    words = verdict(quality)
    return {
        "fvu fit": result.fvu["fit"],
        "fvu held_out": result.fvu["held_out"],
        "entropy": quality.entropy,
        "utilisation": quality.utilisation,
        "distinct_share": quality.distinct_share,
        "length": ids.length,
        "verdict": words.grade,
        "sentences": list(words.sentences),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ml1m", type=Path, required=True)
    parser.add_argument("--beauty", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="one case, by its name")
    parser.add_argument("--out", type=Path, default=RESULTS / "catalogues.json")
    arguments = parser.parse_args()
    cases: dict[str, tuple[Callable[[], Catalogue], dict[str, Any]]] = {
        "Beauty, titles only": (lambda: beauty(arguments.beauty), {}),
        "Beauty, titles only, 2 + 4 experts": (
            lambda: beauty(arguments.beauty),
            {"specific_experts": 4},
        ),
        "ML-1M, text + image + cast": (lambda: films(arguments.ml1m, cast=True), {}),
        "ML-1M, 20% of images missing": (lambda: films(arguments.ml1m, missing=0.2), {}),
    }
    record, origin = read(arguments.out), provenance()
    cells = record.setdefault("cells", {})
    for name, (make, settings) in cases.items():
        if arguments.only not in (None, name):
            continue
        for seed in range(arguments.seeds):
            if f"{name} | {seed}" not in cells:
                chosen = {**settings, "seed": seed}
                figures = run(make(), chosen)
                cells[f"{name} | {seed}"] = {"settings": chosen, **origin, "figures": figures}
                print(name, seed, figures, flush=True)
                record["summary"] = summary(cells)
                write(arguments.out, record)


def summary(cells: dict[str, Any]) -> dict[str, Any]:
    """Mean and sd over the seeds of the numbers, and the verdicts."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for cell, value in cells.items():
        groups.setdefault(cell.rpartition(" | ")[0], []).append(value["figures"])
    return {
        name: {
            key: mean_sd([run[key] for run in runs])
            if isinstance(runs[0][key], float)
            else sorted({str(run[key]) for run in runs})
            for key in runs[0]
        }
        for name, runs in groups.items()
    }


if __name__ == "__main__":
    main()

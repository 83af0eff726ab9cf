"""L_recon, entropy, utilisation and distinct IDs on ML-1M: the default beside its variants.

    python benchmarks/tokenizers_ml1m.py --data DATA [--seeds 3] [--only NAME,..] [--parts all]

DATA is a folder with items.jsonl, text_minilm.npy and image_effnet.npy. Every cell (variant, part,
seed) is stored when it is done and never run again. ``part`` is "held_out" (fitted on 90% of the
items, measured on the other 10%) or "all".
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, mean_sd, provenance, read, write

from mmq import MMQTokenizer, read_catalogue
from mmq.data import Catalogue
from mmq.data.items import ItemColumns
from mmq.data.npy import NpyImport, import_npy
from mmq.metrics import quantisation
from mmq.tokenizers.estimator import split
from mmq.tokenizers.inputs import unit_inputs

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "by gradient": {"learning": "gradient"},
    "EMA codebooks": {"learning": "gradient", "codebook": "ema"},
    "codebook loss": {"learning": "gradient", "codebook": "loss"},
    "literal Eq. 14": {
        "learning": "gradient",
        "codebook": "literal",
        "start": "random",
        "revival": False,
        "commitment_weight": 0.0,
    },
}
PARTS = {"held_out": 0.1, "all": 0.0}
FIGURES = ("entropy", "utilisation", "distinct_share", "seconds")


def catalogue(data: Path) -> Catalogue:
    """What ``mmq import npy --reduce 256`` makes."""
    files = {"text": data / "text_minilm.npy", "image": data / "image_effnet.npy"}
    columns = ItemColumns("item", None, None, ())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "catalogue.parquet"
        import_npy(NpyImport(data / "items.jsonl", files, columns, 256, None), out)
        return read_catalogue(out)


def run_mmq(items: Catalogue, settings: dict[str, Any], hold_out: float) -> dict[str, float]:
    """One fit; flat figures."""
    result = MMQTokenizer(**settings).fit(items, hold_out=hold_out)
    figures = {f"l_recon {part}": value for part, value in result.l_recon.items()}
    figures |= {f"fvu {part}": value for part, value in result.fvu.items()}
    return figures | {name: getattr(result, name) for name in FIGURES}


def run_rqkmeans(items: Catalogue, seed: int, hold_out: float) -> dict[str, float]:
    """Separated RQ-KMeans, three levels a modality, by scikit-learn: the bar to pass."""
    from sklearn.cluster import KMeans

    x, present = unit_inputs(items, items.dimensions)
    parts = {name: rows.numpy() for name, rows in split(len(items), hold_out, seed).items()}
    codes, outputs, start = [], {}, 0
    for m, (modality, width) in enumerate(items.dimensions.items()):
        vectors, seen = x[:, start : start + width].numpy(), present[:, m].numpy() > 0
        train = parts["fit"][seen[parts["fit"]]]
        output = np.zeros_like(vectors)
        for level in range(3):
            means = KMeans(100, n_init=1, max_iter=50, random_state=10 * seed + level)
            means.fit((vectors - output)[train])
            code = means.predict(vectors - output)
            codes.append(code)
            output += means.cluster_centers_[code]
        outputs[modality] = (vectors, output, seen)
        start += width
    table = np.stack(codes, axis=1)
    counts = quantisation.code_counts(table, [100] * len(codes))
    figures = {
        "entropy": float(quantisation.entropy(counts).mean()),
        "utilisation": float(quantisation.utilisation(counts).mean()),
        "distinct_share": quantisation.sharing(table).distinct_share,
    }
    for part, rows in parts.items():
        sums = {
            name: quantisation.Reconstruction.of(v[rows], o[rows], s[rows])
            for name, (v, o, s) in outputs.items()
        }
        figures[f"l_recon {part}"] = quantisation.l_recon(sums, len(rows))
        figures[f"fvu {part}"] = quantisation.fvu(sums)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join([*VARIANTS, "separated RQ-KMeans"]))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, default=RESULTS / "tokenizers_ml1m.json")
    arguments = parser.parse_args()
    items, origin = catalogue(arguments.data), provenance()
    record = read(arguments.out)
    cells = record.setdefault("cells", {})
    for name in arguments.only.split(","):
        for part in arguments.parts.split(","):
            hold_out = PARTS[part]
            for seed in range(arguments.seeds):
                cell = f"{name} | {part} | {seed}"
                if cell in cells:
                    continue
                if name in VARIANTS:
                    settings = {**VARIANTS[name], "seed": seed}
                    figures = run_mmq(items, settings, hold_out)
                else:
                    settings, figures = {"seed": seed}, run_rqkmeans(items, seed, hold_out)
                cells[cell] = {"settings": settings, **origin, "figures": figures}
                record["summary"] = summary(cells)
                write(arguments.out, record)
                print(cell, {key: round(value, 4) for key, value in figures.items()}, flush=True)


def summary(cells: dict[str, Any]) -> dict[str, Any]:
    """Mean and sd over the seeds of every variant and part."""
    groups: dict[str, list[dict[str, float]]] = {}
    for cell, value in cells.items():
        groups.setdefault(cell.rpartition(" | ")[0], []).append(value["figures"])
    return {
        group: {key: mean_sd([figures[key] for figures in runs]) for key in runs[0]}
        for group, runs in groups.items()
    }


if __name__ == "__main__":
    main()

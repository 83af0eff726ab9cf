"""What each group of experts caught of toyshop's known factors.

    python benchmarks/probes.py [--seeds 3] [--items 2000] [--chosen --out FILE]

A fresh shop (seeds 101, 102, ...: never those that the shop was designed on) is generated, embedded
by the light encoders and tokenised; a linear probe then predicts every factor from the one-hot
codes of the shared experts, of each modality's own, and of all specific experts together. Shared
experts start by clusters of all modalities together; with --chosen, as the data choose.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from common import RESULTS, mean_sd, provenance, read, write

from mmq import MMQTokenizer
from mmq.data.datasets.toyshop import FACTORS, ToyshopSettings, toyshop
from mmq.encoders.toyshop import embed_toyshop
from mmq.metrics.probes import probe_table

SETTINGS: dict[str, Any] = {"codebook_size": 64, "shared_experts": 2, "shared_start": "joint"}
CHOSEN: dict[str, Any] = {"codebook_size": 64, "shared_experts": 2}
FIRST_SHOP = 101


def run(items: int, seed: int, settings: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Factor -> group of experts -> accuracy."""
    shop = toyshop(ToyshopSettings(items=items, seed=FIRST_SHOP + seed))
    catalogue = embed_toyshop(shop)
    tokenizer = MMQTokenizer(**settings, seed=seed)
    tokenizer.fit(catalogue)
    groups = dict(tokenizer.positions)
    groups["all specific"] = [*groups["text"], *groups["image"]]
    codes = tokenizer.encode(catalogue)
    return probe_table(codes, tokenizer.codebook_sizes, groups, shop.factors, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=RESULTS / "probes.json")
    parser.add_argument("--chosen", action="store_true")
    arguments = parser.parse_args()
    own = CHOSEN if arguments.chosen else SETTINGS
    record, origin = read(arguments.out), provenance()
    cells = record.setdefault("cells", {})
    for seed in range(arguments.seeds):
        if str(seed) not in cells:
            table = run(arguments.items, seed, own)
            settings = {**own, "items": arguments.items, "seed": seed}
            cells[str(seed)] = {"settings": settings, **origin, "accuracy": table}
            for factor, row in table.items():
                print(seed, factor, {name: round(value, 2) for name, value in row.items()})
    tables = [cell["accuracy"] for cell in cells.values()]
    record["summary"] = {
        factor: {
            "source": FACTORS[factor].source,
            **{group: mean_sd([table[factor][group] for table in tables]) for group in row},
        }
        for factor, row in tables[0].items()
    }
    write(arguments.out, record)


if __name__ == "__main__":
    main()

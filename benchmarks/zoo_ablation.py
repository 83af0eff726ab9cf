"""What each part of MMQ's default is worth, alone and together, on a few of the zoo's members.

    python benchmarks/zoo_ablation.py [--data DATA] [--members NAME;..] [--seeds 3] [--epochs 60]
                                      [--out FILE]

The parts: 1 the frame, 2 the start by a plain quantiser, 3 least squares and sweeps in turn, 4
noise chosen by the data. Without the first, embeddings are unit vectors as they come. "by gradient"
is the paper's way, with its own start, over EPOCHS epochs (a reduced setting). A tenth of the items
is held out; figures are fractions of variance unexplained, from the codes alone and with gates.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from common import RESULTS, mean_sd, provenance, read, write
from zoo import generated, real

from mmq import MMQTokenizer
from mmq.tokenizers.additive import choice
from mmq.tokenizers.frame import Frame


class Row(NamedTuple):
    """What is left of the default."""

    settings: dict[str, Any]
    frame: bool = True
    rounds: bool = True


GRADIENT = {"learning": "gradient"}
ROWS = {
    "by gradient": Row(GRADIENT, frame=False),
    "by gradient, in the frame (1)": Row(GRADIENT),
    "by gradient, then least squares (1, 3, 4)": Row({**GRADIENT, "refinement": 3}),
    "start (2)": Row({"smoothing": 0.0}, frame=False, rounds=False),
    "start in the frame (1, 2)": Row({"smoothing": 0.0}, rounds=False),
    "without noise (1, 2, 3)": Row({"smoothing": 0.0}),
    "without rounds (1, 2, 4)": Row({}, rounds=False),
    "without the frame (2, 3, 4)": Row({}, frame=False),
    "all (1, 2, 3, 4)": Row({}),
}


@contextlib.contextmanager
def reduced(row: Row) -> Iterator[None]:
    """Leave out what the row leaves out."""

    def as_they_come(dimensions: Any, *_: Any) -> Frame:
        return Frame(dimensions, dict(dimensions))

    with contextlib.ExitStack() as stack:
        if not row.frame:
            stack.enter_context(mock.patch.object(Frame, "fit", as_they_come))
        if not row.rounds:
            stack.enter_context(mock.patch.object(choice, "MOST_ROUNDS", 0))
            stack.enter_context(mock.patch.object(choice, "_QUICK", 0))
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--members", default="cone;clips;ML-1M, raw")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS / "zoo_ablation.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = {**(real(arguments.data) if arguments.data else {}), **generated()}
    for seed in range(arguments.seeds):
        for name in arguments.members.split(";"):
            for title, row in ROWS.items():
                stored = read(arguments.out) or {"cells": {}}
                own = stored["cells"].setdefault(name, {}).setdefault(title, {})
                if str(seed) in own:
                    continue
                settings = {"codebook_size": cases[name].size, "seed": seed, **row.settings}
                if "learning" in settings:
                    settings["epochs"] = arguments.epochs
                started = time.process_time()
                with reduced(row):
                    tokenizer = MMQTokenizer(**settings)
                    result = tokenizer.fit(cases[name].load(seed), hold_out=0.1)
                own[str(seed)] = {
                    "held_out": result.fvu_codes["held_out"],
                    "with gates": result.fvu["held_out"],
                    "utilisation": result.utilisation,
                    "seconds": time.process_time() - started,
                    **provenance(),
                }
                stored["epochs"] = arguments.epochs
                stored["summary"] = {
                    member: {
                        each: {
                            figure: mean_sd([run[figure] for run in runs.values()])
                            for figure in ("held_out", "with gates", "utilisation", "seconds")
                        }
                        for each, runs in rows.items()
                    }
                    for member, rows in stored["cells"].items()
                }
                write(arguments.out, stored)
                cell = own[str(seed)]
                print(name, title, seed, round(cell["held_out"], 4), round(cell["with gates"], 4))


if __name__ == "__main__":
    main()

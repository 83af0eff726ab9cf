"""What all benchmarks share: the record of where a figure comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmq.experiments.origin import origin

RESULTS = Path(__file__).parent / "results"


def provenance() -> dict[str, Any]:
    """Commit, versions and the machine's size."""
    found = origin()
    versions = {"mmq-tokenizer": found.pop("mmq"), **found["versions"]}
    return {**found, "versions": versions}


def mean_sd(values: list[float]) -> dict[str, Any]:
    """Mean and sample standard deviation of the seeds, with the values."""
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "values": [float(value) for value in values],
    }


def read(path: Path) -> dict[str, Any]:
    """A results file, or an empty one."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, value: dict[str, Any]) -> None:
    """Write a results file by renaming."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    temporary.replace(path)

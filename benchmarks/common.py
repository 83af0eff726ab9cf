"""What all benchmarks share: the record of where a figure comes from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def provenance() -> dict[str, Any]:
    """Commit, versions and the machine's size."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return {
        "commit": git.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("mmq-tokenizer", "torch", "numpy", "pyarrow")
        },
        "cores": os.cpu_count(),
        "processor": _processor(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


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

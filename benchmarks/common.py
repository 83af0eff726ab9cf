"""What all benchmarks share: where their results lie, and the record of where a figure is from."""

from __future__ import annotations

from typing import Any

from experiments.origin import origin
from experiments.results import RESULTS, write

__all__ = ["RESULTS", "provenance", "write"]


def provenance() -> dict[str, Any]:
    """Commit, versions and the machine's size."""
    found = origin()
    versions = {"mmq-tokenizer": found.pop("mmq"), **found["versions"]}
    return {**found, "versions": versions}

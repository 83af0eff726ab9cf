"""Results of rows by seeds: stored cell by cell, with figures of single users for paired tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common import read, write

from mmq.metrics.resampling import PerUser, paired_by_user

Cells = dict[str, dict[str, Any]]
Users = Mapping[str, np.ndarray]


def done(out: Path, name: str, seed: int) -> bool:
    """Whether a cell is stored."""
    return str(seed) in read(out).get("cells", {}).get(name, {})


def store(
    out: Path,
    place: tuple[str, int],
    cell: dict[str, Any],
    users: Users,
    order: list[str],
    summary: Callable[[list[dict[str, Any]]], dict[str, Any]],
) -> None:
    """Add a cell, and make summary and paired tests anew.

    Args:
        out: JSON of the results; figures of users lie beside it, as .npz.
        place: row and seed.
        cell: what was measured.
        users: ``figure``: that of each user; ``user``: their ids, where seeds have other users.
        order: of the rows.
        summary: of the cells of a row.
    """
    name, seed = place
    stored = read(out) or {"cells": {}}
    stored["cells"].setdefault(name, {})[str(seed)] = cell
    file = out.with_suffix(".npz")
    kept = of_users(file) | {f"{name}|{seed}|{key}": values for key, values in users.items()}
    np.savez_compressed(file, **kept)
    stored["cells"] = {each: stored["cells"][each] for each in order if each in stored["cells"]}
    renew(stored, kept, summary)
    write(out, stored)


def renew(
    stored: dict[str, Any], kept: Users, summary: Callable[[list[dict[str, Any]]], dict[str, Any]]
) -> None:
    """Summary and paired tests of what is stored.

    Tests of rows whose users' figures are not at hand, which are not part of the project, stay as
    they were.
    """
    cells: Cells = stored["cells"]
    before: dict[str, Any] = stored.get("paired", {})
    stored["summary"] = {name: summary(list(runs.values())) for name, runs in cells.items()}
    stored["paired"] = {}
    for one, other in itertools.combinations(cells, 2):
        name, seeds = f"{one} | {other}", sorted(set(cells[one]) & set(cells[other]))
        known = all(f"{row}|{seed}|figure" in kept for row in (one, other) for seed in seeds)
        test = paired(kept, one, other, seeds) if known else before.get(name)
        if test:
            stored["paired"][name] = test


def of_users(file: Path) -> dict[str, np.ndarray]:
    """Figures of single users that are stored."""
    if not file.exists():
        return {}
    with np.load(file) as old:
        return dict(old)


def paired(kept: Users, one: str, other: str, seeds: list[str]) -> dict[str, Any] | None:
    """Two rows over their users and the seeds that both have; None for a single seed."""
    if len(seeds) < 2:
        return None

    def of(row: str, seed: str) -> PerUser:
        figures = kept[f"{row}|{seed}|figure"]
        return PerUser(kept.get(f"{row}|{seed}|user", np.arange(len(figures))), figures)

    test = paired_by_user([(of(one, seed), of(other, seed)) for seed in seeds])
    found = test._asdict()
    return {"users": found.pop("pairs"), "seeds": len(seeds), **found}

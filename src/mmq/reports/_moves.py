"""What a fine-tuning moved: how many IDs, which items came together or apart, and whether rightly.

Two items are alike in what users do by the cosine of the users whose positives they are: those that
both have in common over the geometric mean of each one's users, in the training part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq.data import CatalogueFile
from mmq.finetuning import FinetuneFit
from mmq.finetuning._moving import Data
from mmq.reports._page import MODALITIES, SHAPES, SHARED, Code
from mmq.reports._plots import epochs_plot, nearness_plot
from mmq.reports._survey import shown_of
from mmq.reports._template import write_page
from mmq.reports._thumbnails import thumbnails
from mmq.semantic_ids import SemanticIDs

MOST_ITEMS, MOST_USERS = 1500, 50_000
"""Drawn by a seed where there are more."""
LEAST_USERS = 5
"""Users an item needs to be compared by them."""
LEAST_PAIRS = 20
"""Pairs that a point of the plot needs."""
EXAMPLES = 4


class Nearness(NamedTuple):
    """Pairs of items: what they share in their IDs, and in what users do.

    Attributes:
        rows: ``(m,)`` rows of the items in the table.
        alike: ``(m, m)`` float32 cosine of the users whose positives they are.
        common: ``(m, m)`` float32 users that have both among their positives.
        before: ``(m, m)`` int16 codes that two items shared.
        after: ``(m, m)`` the same with the new IDs.
    """

    rows: np.ndarray
    alike: np.ndarray
    common: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def by_codes(self, shared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean likeness of the pairs that share 0, 1, 2... codes, and how many pairs that are."""
        upper = np.triu_indices(len(self.rows), 1)
        codes = shared[upper].astype(np.int64)
        pairs = np.bincount(codes)
        return np.bincount(codes, self.alike[upper]) / np.maximum(pairs, 1), pairs


class Pair(NamedTuple):
    """Two items that came together or apart: places among the rows, codes shared, users."""

    one: int
    other: int
    before: int
    after: int
    common: int
    alike: float


def nearness(ids: SemanticIDs, fit: FinetuneFit, data: Data, seed: int = 0) -> Nearness:
    """Compare the items that are positives of enough users, by their IDs and by these users."""
    generator = np.random.default_rng(seed)
    users, items = data.positives()
    row_of = ids.find(data.item_ids)
    once = np.unique(users.astype(np.int64) * len(row_of) + items)  # whoever came back counts once
    users, items = np.divmod(once, len(row_of))
    counts = np.bincount(items, minlength=len(row_of))
    chosen = np.flatnonzero((counts >= LEAST_USERS) & (row_of >= 0))
    if len(chosen) > MOST_ITEMS:
        chosen = np.sort(generator.choice(chosen, MOST_ITEMS, replace=False))
    place = np.full(len(row_of), -1)
    place[chosen] = np.arange(len(chosen))
    kept = place[items] >= 0
    if (everyone := int(users.max(initial=-1)) + 1) > MOST_USERS:
        drawn = np.zeros(everyone, bool)
        drawn[generator.choice(everyone, MOST_USERS, replace=False)] = True
        kept &= drawn[users]
    known, number = np.unique(users[kept], return_inverse=True)
    positive = np.zeros((len(known), len(chosen)), np.float32)
    positive[number, place[items[kept]]] = 1
    common = positive.T @ positive
    each = np.sqrt(np.maximum(common.diagonal(), 1))
    rows = row_of[chosen]
    before, after = (_shared(codes[rows]) for codes in (fit.codes_before, fit.codes_after))
    return Nearness(rows, common / np.outer(each, each), common, before, after)


def pairs(near: Nearness, sign: int, seed: int = 0) -> list[Pair]:
    """Pairs drawn from the thousandth whose IDs came closest (``sign`` 1) or went apart most (-1).

    Fewer where fewer changed.
    """
    upper = np.triu_indices(len(near.rows), 1)
    gain = sign * (near.after[upper].astype(np.int64) - near.before[upper])
    if not (gain > 0).any():
        return []
    least = max(1, np.partition(gain, -max(1, len(gain) // 1000))[-max(1, len(gain) // 1000)])
    candidates = np.flatnonzero(gain >= least)
    generator = np.random.default_rng([seed, sign + 1])
    drawn = generator.choice(candidates, min(EXAMPLES, len(candidates)), replace=False)
    return [
        Pair(
            int(i), int(j), int(near.before[i, j]), int(near.after[i, j]),
            int(near.common[i, j]), float(near.alike[i, j]),
        )
        for i, j in zip(upper[0][drawn], upper[1][drawn], strict=True)
    ]  # fmt: skip


def write_moves(
    path: Path,
    ids: SemanticIDs,
    fit: FinetuneFit,
    data: Data,
    file: CatalogueFile,
    control: FinetuneFit | None = None,
) -> None:
    """Write the report of a fine-tuning: one page that needs no other file and no network.

    Args:
        path: the file to make.
        ids: the table with the new IDs.
        fit: what came out.
        data: what the model learned from.
        file: the catalogue, for titles and pictures.
        control: what as many epochs with a frozen tokenizer gave.
    """
    near = nearness(ids, fit, data)
    examples = {
        "Came together": pairs(near, 1),
        "Went apart": pairs(near, -1),
    }
    rows = sorted(
        {int(near.rows[place]) for each in examples.values() for p in each for place in p[:2]}
    )
    shown = _shown(ids, rows, file)
    pictures = thumbnails({row: each.picture for row, each in shown.items() if each.picture})
    colours = [SHARED, *MODALITIES]

    def item(place: int) -> dict[str, Any]:
        row = int(near.rows[place])
        old, new = fit.codes_before[row].tolist(), fit.codes_after[row].tolist()

        def codes(values: list[int]) -> list[Code]:
            return [
                Code(value, colours[int(a != b)], "moved" if a != b else "kept")
                for value, a, b in zip(values, old, new, strict=True)
            ]

        return {
            "id": ids.item_ids[row].as_py(),
            "title": shown[row].title,
            "picture": pictures[row].uri if row in pictures else None,
            "before": codes(old),
            "after": codes(new),
        }

    moved = fit.codes_before != fit.codes_after
    by_codes = {
        name: near.by_codes(each) for name, each in (("before", near.before), ("after", near.after))
    }
    selected = next((name for name in ("ndcg@10", "auc") if name in fit.before), "")
    context = {
        "fit": fit,
        "control": control,
        "items": len(ids),
        "moved": float(moved.any(1).mean()),
        "codes_moved": float(moved.mean()),
        "figures": [name for name in fit.before if name in fit.after],
        "selected": selected,
        "epochs": epochs_plot(fit.before, fit.log, selected) if fit.log else None,
        "compared": len(near.rows),
        "nearness": nearness_plot(by_codes, LEAST_PAIRS) if len(near.rows) > 1 else None,
        "examples": {
            title: [{"pair": p, "items": [item(p.one), item(p.other)]} for p in each]
            for title, each in examples.items()
        },
        "has_pictures": bool(pictures),
        "shape": float(np.clip(np.median([p.shape for p in pictures.values()] or [1.0]), *SHAPES)),
    }
    write_page(path, "moves.html", context)


def _shared(codes: np.ndarray) -> np.ndarray:
    total = np.zeros((len(codes), len(codes)), np.int16)
    for column in codes.T:
        total += column[:, None] == column
    return total


def _shown(ids: SemanticIDs, rows: list[int], file: CatalogueFile) -> dict[int, Any]:
    wanted = {ids.item_ids[row].as_py(): row for row in rows}
    places = [place for place, each in enumerate(file.item_ids().to_pylist()) if each in wanted]
    names = [file.item_ids()[place].as_py() for place in places]
    found = shown_of(file.attribute_table(), np.array(places, np.int64), file.path.parent)
    return {wanted[name]: each for name, each in zip(names, found, strict=True)}

"""Impressions as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmq.ranking.impressions import Impressions
from mmq.ranking.network import Shown
from mmq.ranking.vocabulary import Numbering


def shown_batch(
    impressions: Impressions, numbering: Numbering, history: int, device: torch.device
) -> Shown:
    """A batch whose table holds every item once, however many histories it is in."""
    packed = impressions.histories(history)
    items, rows = impressions.items, packed.rows
    table = np.arange(len(numbering.items))
    if len(table) > len(items) + len(rows):  # a large catalogue: only what occurs
        met = np.zeros(len(table), bool)
        met[items], met[rows] = True, True
        table = np.flatnonzero(met)
        place = np.empty(len(met), np.int32)
        place[table] = np.arange(len(table), dtype=np.int32)
        items, rows = place[items], place[rows]
    codes = None if numbering.codes is None else numbering.codes[table]
    return Shown(
        _tensor(numbering.users[impressions.users], device),
        _tensor(items, device),
        _tensor(numbering.column_numbers(impressions), device),
        torch.from_numpy(numbering.standardised(impressions)).to(device, non_blocking=True),
        _tensor(rows, device),
        _tensor(packed.lengths, device),
        _tensor(table, device),
        _tensor(numbering.items[table], device),
        None if codes is None else _tensor(codes, device),
    )


def hidden(shown: Shown, share: float) -> Shown:
    """The batch with a random share of users, items and values as if they had never been met.

    So are numbers, as if they were missing.
    """

    def hide(rows: Tensor) -> Tensor:
        return rows * (torch.rand(rows.shape, device=rows.device) >= share)

    missing = torch.rand(shown.numbers.shape, device=shown.numbers.device) < share
    return shown._replace(
        users=hide(shown.users),
        item_rows=hide(shown.item_rows),
        columns=hide(shown.columns),
        numbers=shown.numbers.masked_fill(missing, torch.nan),
    )


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.int64, copy=False)).to(device, non_blocking=True)

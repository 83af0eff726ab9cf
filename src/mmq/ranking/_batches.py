"""Impressions as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmq.ranking._impressions import Impressions
from mmq.ranking._network import Shown
from mmq.ranking._settings import PPNetSettings
from mmq.ranking._vocabulary import Numbering


def shown_batch(
    impressions: Impressions,
    numbering: Numbering,
    settings: PPNetSettings,
    device: torch.device,
    training: bool = False,
) -> Shown:
    """A batch whose table holds every item once, however many histories it is in.

    Args:
        impressions: of a log.
        numbering: of the log.
        settings: how long histories are, and how rates are smoothed.
        device: where tensors lie.
        training: whether rates count the impressions themselves, which is undone.
    """
    packed = impressions.histories(settings.history)
    items, rows = impressions.items, packed.rows
    table = np.arange(len(numbering.items))
    if len(table) > len(items) + len(rows):  # a large catalogue: only what occurs
        present = np.zeros(len(table), bool)
        present[items], present[rows] = True, True
        table = np.flatnonzero(present)
        place = np.empty(len(present), np.int32)
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
        torch.from_numpy(numbering.log_odds(impressions, settings.smoothing, training)).to(device),
    )


def hidden(shown: Shown, share: float) -> Shown:
    """The batch with a random share of users, items and values as if training had not seen them.

    So are numbers, as if they were missing.
    """

    def kept(rows: Tensor) -> Tensor:
        return torch.rand(rows.shape, device=rows.device) >= share

    users, items, columns = kept(shown.users), kept(shown.item_rows), kept(shown.columns)
    rates = torch.cat([torch.stack([users, items[shown.items]], 1), columns], 1)
    return shown._replace(
        users=shown.users * users,
        item_rows=shown.item_rows * items,
        columns=shown.columns * columns,
        numbers=shown.numbers.masked_fill(~kept(shown.numbers), torch.nan),
        rates=shown.rates * rates,
    )


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.int64, copy=False)).to(device, non_blocking=True)

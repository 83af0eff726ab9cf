"""Histories as tensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.nn.sampling import Sample
from mmq.nn.soft_items import SoftItems
from mmq.nn.transformer import Layout


class Histories(NamedTuple):
    """A packed batch of histories.

    Attributes:
        rows: ``(n,)`` int64 row of each item.
        layout: which sequence each belongs to.
        soft: codes of some items in place of those of the table, for networks that read codes.
    """

    rows: Tensor
    layout: Layout
    soft: SoftItems | None = None


class Batch(NamedTuple):
    """A packed batch to learn from.

    Attributes:
        histories: every entry of them is asked for what follows it.
        targets: ``(n, steps)`` int64 rows of the next items, -1 past the end of a sequence.
        sample: competitors that are compared, the targets among them; None for all.
    """

    histories: Histories
    targets: Tensor
    sample: Sample | None = None


def history_batch(histories: Sequences, device: torch.device) -> Histories:
    """Histories to predict from."""
    rows, lengths = histories.pack()
    return Histories(_tensor(rows, device), Layout.of(_tensor(lengths, device)))


def training_batch(windows: Sequences, steps: int, device: torch.device) -> Batch:
    """Every entry but the last of each window, and the next ``steps`` items of each."""
    windows = Sequences.of(windows.pack())  # without the rest of the log
    inputs = Sequences(windows.rows, windows.first, windows.end - 1)
    place = Sequences(np.arange(len(windows.rows)), inputs.first, inputs.end).pack().rows
    end = np.repeat(windows.end, inputs.lengths)
    following = place[:, None] + np.arange(1, steps + 1)
    inside = following < end[:, None]
    targets = np.where(inside, windows.rows[np.where(inside, following, 0)], -1)
    return Batch(history_batch(inputs, device), _tensor(targets, device))


def padded_left(histories: Sequences) -> Tensor:
    """``(b, longest or 1)`` int64 rows, each history at the end of its line, -1 before it."""
    rows, lengths = histories.pack()
    longest = max(1, int(lengths.max(initial=0)))
    padded = np.full((len(lengths), longest), -1)
    padded[np.arange(longest) >= longest - lengths[:, None]] = rows
    return torch.from_numpy(padded)


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)

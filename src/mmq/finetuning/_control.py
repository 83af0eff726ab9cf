"""The control of a fine-tuning: as many epochs with the tokenizer frozen.

A model that goes on learning is better than one that does not, whatever becomes of its IDs. What
fine-tuning is worth is what it gains over that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mmq.errors import DataError
from mmq.finetuning._settings import FinetuneSettings
from mmq.metrics.resampling import PerUser, paired_t_test


class Tested(NamedTuple):
    """Figures of a test part.

    Attributes:
        figures: by name.
        by: name of the figure that users are compared by.
        users: this figure of every user.
    """

    figures: dict[str, float]
    by: str
    users: PerUser


def frozen(settings: FinetuneSettings) -> FinetuneSettings | None:
    """The settings of the control; None for those that freeze the tokenizer themselves."""
    if settings.resolved_rate == 0:
        return None
    return FinetuneSettings.parse({**settings.to_dict(), "tokenizer_rate": 0.0})


def gain(
    after: Mapping[str, Mapping[str, float]], control: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Part -> figure -> by how much fine-tuning is above the control.

    Args:
        after: part -> figures of the fine-tuned model.
        control: the same of the control.
    """
    return {
        part: {
            name: value - control[part][name]
            for name, value in figures.items()
            if name in control[part] and math.isfinite(value - control[part][name])
        }
        for part, figures in after.items()
    }


def told_by_users(after: Tested, control: Tested) -> dict[str, Any] | None:
    """A paired test of both over the users of the test part, as plain values; None for too few."""
    shared, a, b = np.intersect1d(
        after.users.users, control.users.users, assume_unique=True, return_indices=True
    )
    try:
        test = paired_t_test(after.users.figures[a], control.users.figures[b])
    except DataError:
        return None
    return {
        "by": after.by,
        "users": len(shared),
        "difference": test.difference,
        "low": test.low,
        "high": test.high,
        "p": test.p_value,
    }

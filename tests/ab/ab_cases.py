"""Experiments of the tests."""

from __future__ import annotations

from typing import Any

from mmq.ab import Experiment


def experiment(**values: Any) -> Experiment:
    arms = [
        {"name": "control", "weight": 0.5, "release": "old"},
        {"name": "treatment", "weight": 0.5, "release": "new"},
    ]
    return Experiment.parse({"name": "trial", "arms": arms, **values})

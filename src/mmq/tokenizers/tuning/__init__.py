"""Tuning: a plain, seeded search over the settings of a tokenizer, the same for every kind."""

from __future__ import annotations

from mmq.tokenizers.tuning.journal import Trial
from mmq.tokenizers.tuning.search import TunePlan, Tuning, tune

__all__ = ["Trial", "TunePlan", "Tuning", "tune"]

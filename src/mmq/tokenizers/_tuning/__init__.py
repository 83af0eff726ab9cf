"""Tuning: a plain, seeded search over the settings of a tokenizer, the same for every kind."""

from __future__ import annotations

from mmq.tokenizers._tuning.journal import Trial
from mmq.tokenizers._tuning.search import TunePlan, Tuning, tune

__all__ = ["Trial", "TunePlan", "Tuning", "tune"]

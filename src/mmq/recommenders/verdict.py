"""Where a model stands beside popularity and item-kNN on the same cases, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmq.data.sequences import Cases
from mmq.metrics.resampling import SIGNIFICANT, paired_t_test
from mmq.recommenders.base import Recommender
from mmq.recommenders.closed_form import ClosedForm
from mmq.recommenders.data import RetrievalData
from mmq.recommenders.evaluation import Evaluation, Protocol, evaluate
from mmq.recommenders.heterrec import HeterRec
from mmq.recommenders.item_knn import ItemKNN
from mmq.recommenders.popularity import Popularity
from mmq.recommenders.sequential import SequentialRecommender

CUTOFF = 10
FIGURE, TITLE = f"ndcg@{CUTOFF}", f"N@{CUTOFF}"
_WORDS = {1: "ahead of", 0: "not significantly different from", -1: "behind"}


class Standing(NamedTuple):
    """A model beside another one, under one protocol.

    Attributes:
        own: N@10 of the model.
        other: of the other one.
        sign: 1 if the model is ahead, -1 if behind, 0 if a paired t-test over users cannot tell.
    """

    own: float
    other: float
    sign: int

    @classmethod
    def of(cls, model: Protocol, other: Protocol) -> Standing:
        """Of what both were measured on the same cases."""
        own, theirs = (each.at([CUTOFF])[FIGURE] for each in (model, other))
        test = paired_t_test(own, theirs) if len(own) > 1 else None
        sure = test is not None and test.p_value < SIGNIFICANT
        sign = 0 if test is None or not sure else 1 if test.difference > 0 else -1
        return cls(float(own.mean()), float(theirs.mean()), sign)

    @property
    def figures(self) -> str:
        """Both, as in ``.038 against .044``."""
        return f"{self.own:.4f} against {self.other:.4f}"


def baselines(data: RetrievalData, kind: str) -> dict[str, Recommender[Any]]:
    """Popularity and item-kNN, fitted to the training part; not the one that is of this kind.

    None of a log in which nobody has two interactions to learn from.
    """
    if not (data.train.lengths > 1).any():
        return {}
    makers: tuple[type[ClosedForm[Any]], ...] = (Popularity, ItemKNN)
    made: dict[str, Recommender[Any]] = {}
    for maker in makers:
        if maker.kind != kind:
            baseline = maker(device="cpu")
            baseline.learn(data)
            made[maker.kind] = baseline
    return made


def measured(others: Mapping[str, Recommender[Any]], cases: Cases) -> dict[str, Evaluation]:
    """What other models find of the same cases."""
    return {name: evaluate(other, cases) for name, other in others.items()}


def verdict(
    model: Recommender[Any], found: Evaluation, others: Mapping[str, Evaluation], part: str
) -> list[str]:
    """A sentence for each other model: ahead of it, behind it, and what to do then.

    Args:
        model: that was measured.
        found: its figures.
        others: figures of others on the same cases, by kind.
        part: what was measured on, ``validation`` or ``test``.
    """
    return [
        _sentence(
            model,
            kind,
            Standing.of(found, other),
            Standing.of(found.left_out, other.left_out),
            f"{TITLE} on {part}",
        )
        for kind, other in others.items()
    ]


def _sentence(
    model: Recommender[Any], kind: str, competing: Standing, left_out: Standing, what: str
) -> str:
    if competing.sign == left_out.sign:
        where = (
            f"{_WORDS[competing.sign]} {kind} ({competing.figures}, {what}; "
            f"with the history left out {left_out.figures})"
        )
    else:
        where = (
            f"{_WORDS[competing.sign]} {kind} where the history competes ({competing.figures}, "
            f"{what}), {_WORDS[left_out.sign]} it where the history is left out "
            f"({left_out.figures})"
        )
    if max(competing.sign, left_out.sign) > 0:
        advice = "" if min(competing.sign, left_out.sign) > 0 else _ONE_PROTOCOL
        return where + advice
    return f"{where}: {_advice(model, kind)}"


_ONE_PROTOCOL = ": use it where the history is left out (--exclude-history)"


def _advice(model: Recommender[Any], kind: str) -> str:
    """What to do with a model that is not ahead of another."""
    steps = []
    if isinstance(model, SequentialRecommender):
        steps.append("train longer")
    if isinstance(model, HeterRec) and not model.settings.item_token:
        steps.append("set item_token=true")
    return ", ".join([*steps, "or " * bool(steps) + f"use {kind}"])

"""Where a model stands beside popularity and item-kNN on the same cases, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmq.data._sequences import Cases
from mmq.metrics.resampling import paired_t_test
from mmq.metrics.standing import Standing
from mmq.recommenders._base import Recommender
from mmq.recommenders._closed_form import ClosedForm
from mmq.recommenders._data import RetrievalData
from mmq.recommenders._evaluation import CUTOFFS, Evaluation, Protocol, evaluate
from mmq.recommenders._heterrec import HeterRec
from mmq.recommenders._item_knn import ItemKNN
from mmq.recommenders._popularity import Popularity
from mmq.recommenders._sequential import SequentialRecommender

CUTOFF = 10
FIGURE, TITLE = f"ndcg@{CUTOFF}", f"N@{CUTOFF}"


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


def measured(
    others: Mapping[str, Recommender[Any]], cases: Cases, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, Evaluation]:
    """What other models find of the same cases."""
    return {name: evaluate(other, cases, cutoffs) for name, other in others.items()}


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
            standing(found, other),
            standing(found.left_out, other.left_out),
            f"{TITLE} on {part}",
        )
        for kind, other in others.items()
    ]


def standing(model: Protocol, other: Protocol) -> Standing:
    """By N@10 on the same cases under one protocol, and a paired t-test over users."""
    own, theirs = (each.at([CUTOFF])[FIGURE] for each in (model, other))
    figures = float(own.mean()), float(theirs.mean())
    if len(own) < 2:
        return Standing(*figures, 0)
    test = paired_t_test(own, theirs)
    return Standing.of(*figures, test.difference, test.p_value)


def _sentence(
    model: Recommender[Any], kind: str, competing: Standing, left_out: Standing, what: str
) -> str:
    if competing.sign == left_out.sign:
        where = (
            f"{competing.word} {kind} ({competing.figures}, {what}; "
            f"with the history left out {left_out.figures})"
        )
    else:
        where = (
            f"{competing.word} {kind} where the history competes ({competing.figures}, "
            f"{what}), {left_out.word} it where the history is left out "
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
    if isinstance(model, HeterRec) and model.settings.item_token is False:
        steps.append("set item_token=true")
    return ", ".join([*steps, "or " * bool(steps) + f"use {kind}"])

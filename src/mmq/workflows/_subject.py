"""A model that stage 2 trains, with what it learns from and how it is measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mmq.finetuning._adapters import adapter_of
from mmq.finetuning._control import Tested
from mmq.metrics.resampling import PerUser
from mmq.ranking import RankingData, evaluate_ranking
from mmq.recommenders import RetrievalData, evaluate
from mmq.workflows._files import LogFile, ModelFolder


class Subject(NamedTuple):
    """A model with what it learns from.

    Attributes:
        student: the model.
        data: the log in its parts.
        measure: gives the figures of a model of its kind on the test part.
    """

    student: Any
    data: Any
    measure: Callable[[Any], Tested]


def retrieval_subject(model: ModelFolder, log: LogFile) -> Subject:
    """A recommender, with the log divided as it was for its training.

    Raises:
        SettingsError: it is of a kind that cannot be fine-tuned, or a ranker.
    """
    student: Any = model.recommender()
    adapter_of(student)  # refuses here what has no IDs to read the log for
    log = log.for_model(student)
    student.log_columns = dict(log.columns)
    data = RetrievalData.of(log.read(), student.semantic_ids, student.split)

    def measure(model: Any) -> Tested:
        found, by = evaluate(model, data.test), "ndcg@10"
        users = found.users[by]
        return Tested(found.figures, by, PerUser(np.arange(len(users)), users))

    return Subject(student, data, measure)


def ranking_subject(model: ModelFolder, log: LogFile) -> Subject:
    """The same of a ranker.

    Raises:
        SettingsError: it is of a kind that cannot be fine-tuned, or has no semantic IDs.
    """
    student: Any = model.ranker()
    adapter_of(student)
    log, known = log.for_model(student), student.semantic_ids.item_ids
    student.log_columns = dict(log.columns)
    data = RankingData.of(log.reader_for(student), student.split, item_ids=known)

    def measure(model: Any) -> Tested:
        found = evaluate_ranking(model, data)
        figures = {name: each for name, each in found.figures.items() if math.isfinite(each)}
        by_user = found.by_user
        return Tested(figures, "auc within users", PerUser(by_user.users, by_user.auc))

    return Subject(student, data, measure)

"""Ranking: will this item be a positive of this user? By item IDs, semantic IDs, or both.

A kind is a module of its own and a line here.
"""

from mmq.ranking._base import Ranker
from mmq.ranking._data import RankingData
from mmq.ranking._evaluation import RankingEvaluation, evaluate_ranking
from mmq.ranking._means import Means, MeansSettings
from mmq.ranking._ppnet import PPNet
from mmq.ranking._settings import PPNetSettings, RankingSplit

__all__ = [
    "Means",
    "MeansSettings",
    "PPNet",
    "PPNetSettings",
    "Ranker",
    "RankingData",
    "RankingEvaluation",
    "RankingSplit",
    "evaluate_ranking",
]

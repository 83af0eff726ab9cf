"""Ranking: will this item be a positive of this user? By item IDs, semantic IDs, or both.

A kind is a module of its own and a line here.
"""

from mmq.ranking.base import Ranker
from mmq.ranking.data import RankingData
from mmq.ranking.evaluation import RankingEvaluation, evaluate_ranking
from mmq.ranking.means import Means, MeansSettings
from mmq.ranking.ppnet import PPNet
from mmq.ranking.settings import PPNetSettings, RankingSplit

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

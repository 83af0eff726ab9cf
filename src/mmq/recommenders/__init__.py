"""Recommenders for retrieval: from histories to the next item.

A kind is a module of its own and a line here.
"""

from mmq.recommenders.base import Recommender
from mmq.recommenders.code_transitions import CodeTransitions, CodeTransitionsSettings
from mmq.recommenders.data import RetrievalData, SplitSettings
from mmq.recommenders.ease import EASE, EASESettings
from mmq.recommenders.evaluation import Evaluation, Protocol, evaluate
from mmq.recommenders.heterrec import HeterRec, HeterRecSettings
from mmq.recommenders.item_knn import ItemKNN, ItemKNNSettings
from mmq.recommenders.popularity import Popularity, PopularitySettings
from mmq.recommenders.results import Items, Recommendations
from mmq.recommenders.sasrec import SASRec, SASRecSettings

__all__ = [
    "EASE",
    "CodeTransitions",
    "CodeTransitionsSettings",
    "EASESettings",
    "Evaluation",
    "HeterRec",
    "HeterRecSettings",
    "ItemKNN",
    "ItemKNNSettings",
    "Items",
    "Popularity",
    "PopularitySettings",
    "Protocol",
    "Recommendations",
    "Recommender",
    "RetrievalData",
    "SASRec",
    "SASRecSettings",
    "SplitSettings",
    "evaluate",
]

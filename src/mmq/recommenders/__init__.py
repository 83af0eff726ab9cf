"""Recommenders for retrieval: from histories to the next item."""

from mmq.recommenders.base import Recommender
from mmq.recommenders.data import RetrievalData, SplitSettings
from mmq.recommenders.evaluation import Evaluation, evaluate
from mmq.recommenders.folder import KINDS, load_recommender, recommender_class, save_recommender
from mmq.recommenders.heterrec import HeterRec, HeterRecSettings
from mmq.recommenders.popularity import Popularity, PopularitySettings
from mmq.recommenders.results import Items, Recommendations, RetrievalFit
from mmq.recommenders.sasrec import SASRec, SASRecSettings

__all__ = [
    "KINDS",
    "Evaluation",
    "HeterRec",
    "HeterRecSettings",
    "Items",
    "Popularity",
    "PopularitySettings",
    "Recommendations",
    "Recommender",
    "RetrievalData",
    "RetrievalFit",
    "SASRec",
    "SASRecSettings",
    "SplitSettings",
    "evaluate",
    "load_recommender",
    "recommender_class",
    "save_recommender",
]

"""Recommenders for retrieval: from histories to the next item.

A kind is a module of its own and a line here.
"""

from mmq.recommenders._base import Recommender
from mmq.recommenders._closed_form import ClosedForm
from mmq.recommenders._code_transitions import CodeTransitions, CodeTransitionsSettings
from mmq.recommenders._data import RetrievalData, SplitSettings
from mmq.recommenders._dense import top_items
from mmq.recommenders._ease import EASE, EASESettings
from mmq.recommenders._evaluation import Evaluation, Protocol, evaluate
from mmq.recommenders._heterrec import HeterRec, HeterRecSettings
from mmq.recommenders._item_knn import ItemKNN, ItemKNNSettings
from mmq.recommenders._new_items import NewItems
from mmq.recommenders._popularity import Popularity, PopularitySettings
from mmq.recommenders._results import Items, Recommendations
from mmq.recommenders._sasrec import SASRec, SASRecSettings

__all__ = [
    "EASE",
    "ClosedForm",
    "CodeTransitions",
    "CodeTransitionsSettings",
    "EASESettings",
    "Evaluation",
    "HeterRec",
    "HeterRecSettings",
    "ItemKNN",
    "ItemKNNSettings",
    "Items",
    "NewItems",
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
    "top_items",
]

"""Semantic IDs for recommenders: embeddings -> the MMQ tokenizer -> a short tuple of codes.

>>> from mmq import Catalogue, MMQTokenizer, SemanticIDs
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmq._old_names import install as _find_old_names
from mmq._version import __version__

if TYPE_CHECKING:
    from mmq.data import Catalogue as Catalogue
    from mmq.data import read_catalogue as read_catalogue
    from mmq.data import write_catalogue as write_catalogue
    from mmq.data._interactions import Interactions as Interactions
    from mmq.data._log import read_interactions as read_interactions
    from mmq.model import load as load
    from mmq.ranking import PPNet as PPNet
    from mmq.ranking import Ranker as Ranker
    from mmq.ranking import RankingData as RankingData
    from mmq.recommenders import HeterRec as HeterRec
    from mmq.recommenders import Popularity as Popularity
    from mmq.recommenders import Recommender as Recommender
    from mmq.recommenders import RetrievalData as RetrievalData
    from mmq.recommenders import SASRec as SASRec
    from mmq.semantic_ids import SemanticIDs as SemanticIDs
    from mmq.tokenizers import MMQSettings as MMQSettings
    from mmq.tokenizers import MMQTokenizer as MMQTokenizer
    from mmq.tokenizers import OPQSettings as OPQSettings
    from mmq.tokenizers import OPQTokenizer as OPQTokenizer
    from mmq.tokenizers import RQKMeansSettings as RQKMeansSettings
    from mmq.tokenizers import RQKMeansTokenizer as RQKMeansTokenizer
    from mmq.tokenizers import RQVAESettings as RQVAESettings
    from mmq.tokenizers import RQVAETokenizer as RQVAETokenizer
    from mmq.tokenizers import Tokenizer as Tokenizer

_find_old_names()

_HOMES = {
    "Catalogue": "mmq.data",
    "read_catalogue": "mmq.data",
    "write_catalogue": "mmq.data",
    "Interactions": "mmq.data",
    "read_interactions": "mmq.data",
    "PPNet": "mmq.ranking",
    "RankingData": "mmq.ranking",
    "HeterRec": "mmq.recommenders",
    "Popularity": "mmq.recommenders",
    "RetrievalData": "mmq.recommenders",
    "SASRec": "mmq.recommenders",
    "SemanticIDs": "mmq.semantic_ids",
    "MMQSettings": "mmq.tokenizers",
    "MMQTokenizer": "mmq.tokenizers",
    "OPQSettings": "mmq.tokenizers",
    "OPQTokenizer": "mmq.tokenizers",
    "RQKMeansSettings": "mmq.tokenizers",
    "RQKMeansTokenizer": "mmq.tokenizers",
    "RQVAESettings": "mmq.tokenizers",
    "RQVAETokenizer": "mmq.tokenizers",
    "Tokenizer": "mmq.tokenizers",
    "Recommender": "mmq.recommenders",
    "Ranker": "mmq.ranking",
    "load": "mmq.model",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import mmq`` stays instant."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mmq' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})

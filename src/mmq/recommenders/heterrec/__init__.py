"""HeterRec: generative retrieval with semantic IDs."""

from mmq.recommenders.heterrec.recommender import HeterRec
from mmq.recommenders.heterrec.settings import HeterRecSettings

__all__ = ["HeterRec", "HeterRecSettings"]

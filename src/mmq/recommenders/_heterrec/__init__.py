"""HeterRec: generative retrieval with semantic IDs."""

from mmq.recommenders._heterrec.recommender import HeterRec
from mmq.recommenders._heterrec.settings import HeterRecSettings

__all__ = ["HeterRec", "HeterRecSettings"]

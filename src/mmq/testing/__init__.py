"""What a test of a new component needs: tiny data, and promises to inherit.

pytest (the extra ``test``) runs them::

    class TestOPQ(TokenizerConformance):
        tokenizer = staticmethod(lambda: OPQTokenizer(codebook_size=8, length=4))

    class TestSASRec(RecommenderConformance):
        recommender = staticmethod(lambda: SASRec(hidden_dim=8, epochs=4, patience=4))

Failures read better with ``pytest.register_assert_rewrite("mmq.testing._tokenizers",
"mmq.testing._recommenders")`` in the project's conftest.py, before anything of mmq is imported.
"""

from __future__ import annotations

from mmq.testing._catalogue import tiny_catalogue
from mmq.testing._recommenders import (
    RecommenderConformance,
    tiny_ids,
    tiny_log,
    tiny_retrieval_data,
)
from mmq.testing._tokenizers import TokenizerConformance

__all__ = [
    "RecommenderConformance",
    "TokenizerConformance",
    "tiny_catalogue",
    "tiny_ids",
    "tiny_log",
    "tiny_retrieval_data",
]

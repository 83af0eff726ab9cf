"""What a test of a new component needs: tiny data, and promises to inherit.

pytest (the extra ``test``) runs them::

    class TestOPQ(TokenizerConformance):
        tokenizer = staticmethod(lambda: OPQTokenizer(codebook_size=8, length=4))

Failures read better with ``pytest.register_assert_rewrite("mmq.testing.tokenizers")`` in the
project's conftest.py, before anything of mmq is imported.
"""

from __future__ import annotations

from mmq.testing.catalogue import tiny_catalogue
from mmq.testing.tokenizers import TokenizerConformance

__all__ = ["TokenizerConformance", "tiny_catalogue"]

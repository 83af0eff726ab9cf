"""Every kind of tokenizer keeps the promises of all."""

from mmq.testing import TokenizerConformance, tiny_catalogue
from mmq.tokenizers import (
    KINDS,
    MMQTokenizer,
    OPQTokenizer,
    RQKMeansTokenizer,
    RQVAETokenizer,
    load_tokenizer,
)

SMALL = {"codebook_size": 8, "length": 4}
TRAINED = {"epochs": 6, "batch_size": 64, "latent_dim": 12}
RQVAE = {**SMALL, **TRAINED, "hidden_sizes": (24,)}


class TestMMQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: MMQTokenizer(codebook_size=8, **TRAINED))


class TestAlignedRQVAE(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQVAETokenizer(**RQVAE, fusion="aligned"))


class TestSeparatedRQVAE(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQVAETokenizer(**RQVAE, fusion="separated", codebook="ema"))


class TestAlignedRQKMeans(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQKMeansTokenizer(**SMALL, fusion="aligned"))


class TestSeparatedRQKMeans(TokenizerConformance):
    tokenizer = staticmethod(
        lambda: RQKMeansTokenizer(**SMALL, fusion="separated", refinement=2, balanced=True)
    )


class TestAlignedOPQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, fusion="aligned"))


class TestSeparatedOPQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, fusion="separated"))


SUITES = (TestMMQ, TestAlignedRQVAE, TestAlignedRQKMeans, TestAlignedOPQ)


def test_every_kind_is_here_and_found_by_its_folder(tmp_path):
    tested = {test.tokenizer().kind: test for test in SUITES}
    assert tested.keys() == KINDS.keys()
    for kind, test in tested.items():
        test.fitted().save(tmp_path / kind)
        loaded = load_tokenizer(tmp_path / kind)
        assert type(loaded) is KINDS[kind]
        assert (loaded.encode(tiny_catalogue()) == test.fitted().encode(tiny_catalogue())).all()

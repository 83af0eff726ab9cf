"""Every kind of tokenizer keeps the promises of all."""

import pytest

from mmq.model import kinds
from mmq.testing import TokenizerConformance, tiny_catalogue
from mmq.tokenizers import (
    MMQTokenizer,
    NetworkTokenizer,
    OPQTokenizer,
    RQKMeansTokenizer,
    RQVAETokenizer,
)
from mmq.tokenizers._additive.network import AdditiveNetwork

SMALL = {"codebook_size": 8, "length": 4}
TRAINED = {"epochs": 6, "batch_size": 64, "latent_dim": 12}
BY_GRADIENT = {"learning": "gradient", **TRAINED}
RQVAE = {**SMALL, **TRAINED, "hidden_sizes": (24,)}


class TestMMQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: MMQTokenizer(codebook_size=8))


class TestMMQByGradient(TokenizerConformance):
    tokenizer = staticmethod(lambda: MMQTokenizer(codebook_size=8, **BY_GRADIENT))


class TestRefinedMMQByGradient(TokenizerConformance):
    tokenizer = staticmethod(lambda: MMQTokenizer(codebook_size=8, **BY_GRADIENT, refinement=2))


class TestAlignedRQVAE(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQVAETokenizer(**RQVAE, fusion="aligned"))


class TestSeparatedRQVAE(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQVAETokenizer(**RQVAE, fusion="separated", codebook="ema"))


class TestRefinedRQVAE(TokenizerConformance):
    tokenizer = staticmethod(
        lambda: RQVAETokenizer(**{**RQVAE, "hidden_sizes": ()}, fusion="separated", refinement=2)
    )


class TestAlignedRQKMeans(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQKMeansTokenizer(**SMALL, fusion="aligned"))


class TestSeparatedRQKMeans(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQKMeansTokenizer(**SMALL, fusion="separated"))


class TestRefinedRQKMeans(TokenizerConformance):
    tokenizer = staticmethod(
        lambda: RQKMeansTokenizer(**SMALL, fusion="separated", refinement=2, balanced=True)
    )


class TestAlignedOPQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, fusion="aligned"))


class TestSeparatedOPQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, fusion="separated"))


class TestRefinedOPQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, fusion="separated", refinement=2))


REFINED = [
    lambda **fields: MMQTokenizer(codebook_size=8, **BY_GRADIENT, **fields),
    lambda **fields: RQVAETokenizer(**{**RQVAE, "hidden_sizes": ()}, **fields),
    lambda **fields: RQKMeansTokenizer(**SMALL, **fields),
    lambda **fields: OPQTokenizer(**SMALL, **fields),
]


@pytest.mark.parametrize("make", REFINED)
def test_refinement_lowers_the_error_of_new_items(make):
    catalogue, new = tiny_catalogue(), tiny_catalogue(seed=1)
    plain, refined = make(), make(refinement=3)
    plain.fit(catalogue)
    result = refined.fit(catalogue)
    assert isinstance(refined.network, AdditiveNetwork)
    assert refined.positions == plain.positions
    assert not refined.ordered
    assert result.chosen["plan"] == "given"
    errors = [tokenizer.measure(new).fvu_codes for tokenizer in (plain, refined)]
    assert errors[1] < errors[0]
    moved = plain.encode(new) != refined.encode(new)
    assert 0 < moved.mean() < 1


@pytest.mark.parametrize("make", REFINED[:2])
def test_refined_codes_have_soft_codes(make):
    catalogue = tiny_catalogue(missing=0.2)
    tokenizer = make(refinement=1)
    tokenizer.fit(catalogue)
    index = tokenizer.soft_codes(catalogue)
    assert (index.sum(2) == 1).all()
    assert (index.argmax(2).numpy() == tokenizer.encode(catalogue)).all()


SUITES = (TestMMQ, TestAlignedRQVAE, TestAlignedRQKMeans, TestAlignedOPQ)


def test_every_kind_is_here_and_found_by_its_folder(tmp_path):
    tested = {test.tokenizer().kind: test for test in SUITES}
    assert tested.keys() == kinds("tokenizer").keys()
    for kind, test in tested.items():
        test.fitted().save(tmp_path / kind)
        loaded = NetworkTokenizer.load(tmp_path / kind)
        assert type(loaded) is kinds("tokenizer")[kind]
        assert (loaded.encode(tiny_catalogue()) == test.fitted().encode(tiny_catalogue())).all()

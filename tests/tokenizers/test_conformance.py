"""Every kind of tokenizer keeps the promises of all."""

import pytest
import torch

from mmq.errors import SettingsError
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


class TestRefinedMMQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: MMQTokenizer(codebook_size=8, **TRAINED, refinement=2))


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
    tokenizer = staticmethod(
        lambda: RQKMeansTokenizer(**SMALL, fusion="separated", refinement=2, balanced=True)
    )


class TestAlignedOPQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, fusion="aligned"))


class TestSeparatedOPQ(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, fusion="separated"))


REFINED = [
    lambda **fields: MMQTokenizer(codebook_size=8, **TRAINED, **fields),
    lambda **fields: RQVAETokenizer(**{**RQVAE, "hidden_sizes": ()}, **fields),
    lambda **fields: RQKMeansTokenizer(**SMALL, **fields),
]


@pytest.mark.parametrize("make", REFINED)
def test_refinement_lowers_the_error_of_the_same_weights(make):
    catalogue = tiny_catalogue()
    plain, refined = make(), make(refinement=3)
    plain.fit(catalogue)
    refined.fit(catalogue)
    for one, other in zip(
        plain.network.state_dict().values(), refined.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    errors = [tokenizer.measure(catalogue).fvu_codes for tokenizer in (plain, refined)]
    assert errors[1] < errors[0]
    moved = plain.encode(catalogue) != refined.encode(catalogue)
    assert 0 < moved.mean() < 1


@pytest.mark.parametrize("make", REFINED[:2])
def test_refined_codes_have_no_soft_codes(make):
    catalogue = tiny_catalogue()
    tokenizer = make(refinement=1)
    tokenizer.fit(catalogue)
    with pytest.raises(SettingsError, match="refinement=0"):
        tokenizer.soft_codes(catalogue)


SUITES = (TestMMQ, TestAlignedRQVAE, TestAlignedRQKMeans, TestAlignedOPQ)


def test_every_kind_is_here_and_found_by_its_folder(tmp_path):
    tested = {test.tokenizer().kind: test for test in SUITES}
    assert tested.keys() == KINDS.keys()
    for kind, test in tested.items():
        test.fitted().save(tmp_path / kind)
        loaded = load_tokenizer(tmp_path / kind)
        assert type(loaded) is KINDS[kind]
        assert (loaded.encode(tiny_catalogue()) == test.fitted().encode(tiny_catalogue())).all()

"""The promises can be broken: each is held against a tokenizer that breaks it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmq.testing import TokenizerConformance, tiny_catalogue
from mmq.tokenizers import MMQTokenizer

SMALL = {
    "learning": "gradient",
    "codebook_size": 8,
    "latent_dim": 8,
    "epochs": 3,
    "batch_size": 64,
}


class Sociable(MMQTokenizer):
    def encode(self, catalogue):
        return (super().encode(catalogue) + len(catalogue)) % 8


class Loud(MMQTokenizer):
    def encode(self, catalogue):
        norms = np.linalg.norm(catalogue.embeddings["text"], axis=1, keepdims=True)
        return (super().encode(catalogue) + norms.astype(np.int32)) % 8


class Silent(MMQTokenizer):
    def decode(self, codes):
        return {name: 0 * matrix for name, matrix in super().decode(codes).items()}


class Contrary(MMQTokenizer):
    def similarities(self, catalogue):
        return -super().similarities(catalogue)


class Greedy(MMQTokenizer):
    def fit(self, catalogue, hold_out=0.0, **options):
        super().fit(catalogue, hold_out, **options)
        return super().fit(catalogue, 0.0, **options)


class Restless(MMQTokenizer):
    def _train(self, network, x, present, journal):
        trained = super()._train(network, x, present, journal)
        network.codebooks.data += 1e-6 * np.random.default_rng().random()
        return trained


class Stubborn(MMQTokenizer):
    def encode(self, catalogue):
        return super().encode(catalogue) * [1, 1, 0, 1, 1, 1]


class Meddling(MMQTokenizer):
    def fit(self, catalogue, *arguments, **options):
        torch.manual_seed(0)
        return super().fit(catalogue, *arguments, **options)


class Forgetful(MMQTokenizer):
    @classmethod
    def load(cls, folder, device="auto"):
        loaded = super().load(folder, device)
        loaded.figures = {}
        return loaded


class Careless(MMQTokenizer):
    def decode(self, codes):
        return super().decode(np.clip(codes, 0, 7))


class Credulous(MMQTokenizer):
    def fit(self, catalogue, *arguments, **options):
        for name, mask in catalogue.present.items():
            np.copyto(mask, catalogue.embeddings[name].any(axis=1))
        return super().fit(catalogue, *arguments, **options)


class Oblivious(MMQTokenizer):
    def fit(self, catalogue, hold_out=0.0, checkpoint=None):
        return super().fit(catalogue, hold_out, checkpoint and replace(checkpoint, resume=False))


BREAKS = {
    Sociable: "codes_do_not_depend_on_order_or_company",
    Loud: "codes_do_not_depend_on_scale",
    Silent: "figures_are_those_of_the_decoded_codes",
    Contrary: "the_best_codeword_is_the_code",
    Greedy: "held_out_items_have_no_say",
    Restless: "the_seed_decides_all",
    Stubborn: "codes_are_numbers_of_codewords",
    Meddling: "fit_leaves_the_callers_randomness_alone",
    Forgetful: "saved_and_loaded_it_is_the_same",
    Careless: "what_it_refuses_to_decode",
    Credulous: "what_is_missing_has_no_say",
    Oblivious: "a_killed_fit_goes_on_to_the_same_bits",
}


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.__name__)
def test_a_tokenizer_that_breaks_a_promise_fails_its_test(broken, tmp_path, monkeypatch):
    class Suite(TokenizerConformance):
        tokenizer = staticmethod(lambda: broken(**SMALL))

    test = getattr(Suite(), f"test_{BREAKS[broken]}")
    asked = test.__code__.co_varnames[: test.__code__.co_argcount]
    given = {"tmp_path": tmp_path, "monkeypatch": monkeypatch}
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(**{name: given[name] for name in asked if name in given})


def test_tiny_catalogues_are_of_one_world():
    one, other = tiny_catalogue(300, seed=1), tiny_catalogue(300, seed=2)
    assert not np.array_equal(one.embeddings["text"], other.embeddings["text"])
    cosines = [_nearest_cosine(one, against) for against in (one, other)]
    assert abs(cosines[0] - cosines[1]) < 0.05  # the themes of one are those of the other
    gaps = tiny_catalogue(300, missing=0.3)
    assert gaps.present["text"].all()
    assert 0.2 < (~gaps.present["image"]).mean() < 0.4


def _nearest_cosine(one, other):
    """Mean cosine of an item to the nearest but one of the other catalogue."""
    units = [
        each.embeddings["text"] / np.linalg.norm(each.embeddings["text"], axis=1, keepdims=True)
        for each in (one, other)
    ]
    return float(np.sort(units[0] @ units[1].T, axis=1)[:, -2].mean())

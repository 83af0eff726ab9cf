"""What says nothing of an item changes no code, or no figure: scale, order, axes, a cone."""

import functools

import numpy as np
import pytest

from mmq.data import Catalogue
from mmq.testing import tiny_catalogue
from mmq.tokenizers import MMQTokenizer, OPQTokenizer, RQKMeansTokenizer, RQVAETokenizer

ITEMS = 240
QUANTISER = {"codebook_size": 8, "length": 4, "device": "cpu"}
TRAINED = {"epochs": 10, "batch_size": 60, "latent_dim": 12}
KINDS = {
    "mmq": lambda seed: MMQTokenizer(codebook_size=8, smoothing=0.5, seed=seed, device="cpu"),
    "mmq by gradient": lambda seed: MMQTokenizer(
        learning="gradient", codebook_size=8, **TRAINED, seed=seed, device="cpu"
    ),
    "rqvae": lambda seed: RQVAETokenizer(**QUANTISER, **TRAINED, hidden_sizes=(24,), seed=seed),
    "rqkmeans": lambda seed: RQKMeansTokenizer(**QUANTISER, seed=seed),
    "opq": lambda seed: OPQTokenizer(**QUANTISER, seed=seed),
}
ALL = pytest.mark.parametrize("kind", KINDS)
MARGIN = 0.02
"""Beside the spread over seeds: three seeds know little of it."""


def of(embeddings, items=ITEMS):
    return Catalogue.build(range(items), embeddings)


def plain(seed=0):
    return tiny_catalogue(ITEMS, seed=seed)


def turned(seed=0):
    """The same with other axes."""
    return of({name: rows @ axes(rows.shape[1]) for name, rows in plain(seed).embeddings.items()})


def axes(width):
    return np.linalg.qr(np.random.default_rng(width).normal(size=(width, width)))[0]


def swapped(seed=0):
    return of(dict(reversed(plain(seed).embeddings.items())))


def in_a_cone(times, seed=0):
    """A direction that all share, so many times as long as the embeddings, before the norm."""
    moved = {}
    for name, rows in plain(seed).embeddings.items():
        length = float(np.linalg.norm(plain().embeddings[name], axis=1).mean())
        moved[name] = rows + times * length * axes(rows.shape[1])[0]
    return of(moved)


def codes(kind, catalogue):
    tokenizer = KINDS[kind](0)
    tokenizer.fit(catalogue)
    return tokenizer.encode(catalogue)


def error(kind, make, seed=0):
    """FVU of the codes alone, of new items."""
    tokenizer = KINDS[kind](seed)
    tokenizer.fit(make(seed=0))
    return tokenizer.measure(make(seed=1)).fvu_codes


@functools.cache
def over_seeds(kind):
    """The figure of seed 0, and how far apart those of three seeds lie."""
    errors = [error(kind, plain, seed) for seed in range(3)]
    return errors[0], max(errors) - min(errors)


@functools.cache
def codes_of_the_plain(kind):
    return codes(kind, plain())


@ALL
def test_the_length_of_each_item_changes_no_code(kind):
    """By powers of two, so that unit vectors are the same to the bit."""
    lengths = 2.0 ** np.random.default_rng(0).integers(-3, 4, size=(ITEMS, 1))
    louder = of({name: lengths * rows for name, rows in plain().embeddings.items()})
    np.testing.assert_array_equal(codes(kind, louder), codes_of_the_plain(kind))


@ALL
def test_the_order_of_items_changes_no_code(kind):
    order = np.random.default_rng(0).permutation(ITEMS)
    found = codes(kind, plain().take(order))
    np.testing.assert_array_equal(found, codes_of_the_plain(kind)[order])


@ALL
@pytest.mark.parametrize("make", [turned, swapped], ids=lambda make: make.__name__)
def test_axes_and_the_order_of_modalities_change_no_figure(kind, make):
    known, spread = over_seeds(kind)
    assert error(kind, make) == pytest.approx(known, abs=spread + MARGIN)


@ALL
@pytest.mark.parametrize("times", [1, 3])
def test_a_shared_direction_changes_no_figure(kind, times):
    known, spread = over_seeds(kind)
    found = error(kind, functools.partial(in_a_cone, times))
    assert found == pytest.approx(known, abs=spread + MARGIN)

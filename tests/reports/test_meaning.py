"""What a code means in words, and which items decode alike."""

import math

import numpy as np
import pyarrow as pa
import pytest

from mmq import Catalogue, RQKMeansTokenizer
from mmq.reports._meaning import Words
from mmq.reports._similar import similar
from mmq.testing import tiny_catalogue

ITEMS = 400
RNG = np.random.default_rng(0)
COMEDY = RNG.random(ITEMS) < 0.3
ROWS = np.flatnonzero(COMEDY | (np.arange(ITEMS) % 29 == 0))


def attributes():
    return pa.table(
        {
            "title": [f"The {'funny' if c else 'grave'} story {i}" for i, c in enumerate(COMEDY)],
            "genres": [["Comedy", "Drama"] if c else ["Drama"] for c in COMEDY],
            "mood": ["light|short" if c else "dark" for c in COMEDY],
            "price": RNG.random(ITEMS),
            "year": pa.array([1990 + i % 7 for i in range(ITEMS)]),
            "plot": [f"text {i}" for i in range(ITEMS)],
        }
    )


def test_what_items_have_in_common():
    found = Words(attributes()).of(ROWS, most=9)
    told = {(word.column, word.value): word for word in found}
    assert told.keys() == {
        ("title", "funny"), ("genres", "Comedy"), ("mood", "light"), ("mood", "short")
    }  # fmt: skip
    word = told["genres", "Comedy"]
    assert word.share == pytest.approx(COMEDY[ROWS].mean())
    assert word.share_of_all == pytest.approx(COMEDY.mean())
    assert word.text == f"Comedy {COMEDY[ROWS].mean():.0%}"
    assert len(Words(attributes()).of(ROWS)) == 3


def test_the_ratio_is_that_of_the_definition():
    """The least ratio at which a word is still told is 2 log of the likelihoods' ratio."""

    def log_likelihood(hits, of, share):
        return hits * math.log(share) + (of - hits) * math.log(1 - share)

    inside, outside = COMEDY[ROWS], np.delete(COMEDY, ROWS)
    every = COMEDY.mean()
    parts = [(inside.sum(), len(inside)), (outside.sum(), len(outside))]
    ratio = sum(
        (log_likelihood(k, n, k / n) if 0 < k < n else 0) - log_likelihood(k, n, every)
        for k, n in parts
    )
    words = Words(attributes().select(["genres"]))
    assert len(words.of(ROWS, certain=2 * ratio - 0.01)) == 1
    assert words.of(ROWS, certain=2 * ratio + 0.01) == []


def test_chance_is_no_meaning():
    words = Words(attributes())
    drawn = np.random.default_rng(1)
    told = [words.of(drawn.choice(ITEMS, 30, replace=False)) for _ in range(50)]
    assert sum(map(len, told)) <= 1


def test_nothing_to_say():
    assert Words(attributes()).of(np.zeros(0, np.int64)) == []
    assert Words(pa.table({"price": RNG.random(ITEMS)})).of(ROWS) == []
    assert Words(attributes().select([])).of(ROWS) == []


def test_similar_items_are_the_nearest_decoded_ones():
    catalogue = tiny_catalogue(missing=0.1)
    tokenizer = RQKMeansTokenizer(codebook_size=8, length=4, fusion="separated")
    tokenizer.fit(catalogue)
    ids = tokenizer.ids(catalogue)
    decoded = tokenizer.decode(ids.codes)
    unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in decoded.values()]
    cosines = np.mean([each @ each[7] for each in unit], axis=0)
    found = similar(ids, tokenizer, 7, count=12)
    assert 7 not in [each.row for each in found]
    assert [each.cosine for each in found] == pytest.approx(
        np.sort(np.delete(cosines, 7))[::-1][:12], abs=1e-5
    )
    assert [cosines[each.row] for each in found] == pytest.approx(
        [each.cosine for each in found], abs=1e-5
    )


def test_items_of_one_id_come_first_by_rank(monkeypatch):
    embeddings = np.repeat(np.random.default_rng(0).normal(size=(10, 6)), 3, axis=0)
    catalogue = Catalogue.build(range(30), {"text": embeddings})
    tokenizer = RQKMeansTokenizer(codebook_size=8, length=2)
    tokenizer.fit(catalogue)
    ids = tokenizer.ids(catalogue)
    monkeypatch.setattr("mmq.reports._similar._BLOCK", 7)
    found = similar(ids, tokenizer, 4, count=2)
    twins = set(np.flatnonzero((ids.codes == ids.codes[4]).all(1)).tolist()) - {4}
    assert {each.row for each in found} <= twins
    assert [ids.rank[each.row] for each in found] == sorted(ids.rank[each.row] for each in found)
    assert len(similar(ids, tokenizer, 4, count=99)) == 29

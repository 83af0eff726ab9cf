from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data import Catalogue
from mmq.semantic_ids import (
    CatalogueFacts,
    Lacking,
    SemanticIDs,
    build_manifest,
    catalogue_facts,
    inspect_ids,
)


def test_figures_of_a_table() -> None:
    codes = [[0, 0], [0, 1], [0, 0], [1, 2]]
    quality = inspect_ids(SemanticIDs.build([1, 2, 3, 4], codes, [2, 4]))
    assert (quality.items, quality.length, quality.codebook_size) == (4, 2, [2, 4])
    first = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert quality.entropies == pytest.approx([first, 1.5 * math.log(2)])
    assert quality.entropy == pytest.approx((first + 1.5 * math.log(2)) / 2)
    assert quality.utilisation == pytest.approx((1 + 0.75) / 2)
    assert quality.gini == pytest.approx((0.25 + 0.375) / 2)
    assert (quality.distinct_share, quality.colliding_items, quality.largest_bucket) == (0.75, 2, 2)


def test_json_holds_the_promised_names() -> None:
    ids = SemanticIDs.build(np.arange(50), np.arange(100).reshape(50, 2) % 7, [7, 7])
    figures = json.loads(json.dumps(inspect_ids(ids).to_dict()))
    promised = "items length codebook_size entropy utilisation distinct_share colliding_items"
    assert set(f"{promised} largest_bucket gini perplexity lacking fit codebooks".split()) == set(
        figures
    )
    assert figures["codebook_size"] == 7
    assert [book["used"] for book in figures["codebooks"]] == [7, 7]
    assert figures["codebooks"][0]["largest_code_share"] == pytest.approx(8 / 50)


@given(
    st.lists(
        st.tuples(st.sampled_from([None, 1.0, 1.5, -2.0]), st.sampled_from([1.0, 2.0, 1 + 2**-20])),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 8),
)
def test_catalogue_facts_agree_with_plain_loops(
    rows: list[tuple[float | None, float]], size: int
) -> None:
    nan = float("nan")
    catalogue = Catalogue.build(
        np.arange(len(rows)),
        {
            "image": [[nan, nan] if a is None else [a, 0.0] for a, _ in rows],
            "text": [[b, 1.0, b] for _, b in rows],
        },
    )
    facts = catalogue_facts(catalogue.batches(size))
    assert facts.duplicates == sum(rows.count(row) > 1 for row in rows)
    absent = sum(a is None for a, _ in rows)
    assert facts.missing == {"image": absent / len(rows), "text": 0.0}


def test_many_float16_embeddings_are_told_apart() -> None:
    matrix = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float16)
    catalogue = Catalogue.build(np.arange(20_000), {"text": matrix.astype(np.float32)})
    distinct, counts = np.unique(matrix, axis=0, return_counts=True)
    assert len(distinct) == 20_000
    assert counts.max() == 1
    assert catalogue_facts(catalogue.batches(4096)) == CatalogueFacts(0, {"text": 0.0})


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()), min_size=1, max_size=25
)


@given(ROWS)
def test_figures_are_of_the_items_that_have_the_modality(rows: list[tuple[int, int, bool]]) -> None:
    """Those of the second codebook equal the ones of a table of these items alone."""
    codes = np.array([row[:2] for row in rows])
    absent = {"image": np.array([row[2] for row in rows]), "text": np.zeros(len(rows), bool)}
    places = {"shared": [0], "image": [1]}
    lacking = Lacking.of(codes, absent, places)
    manifest = build_manifest([4, 3], lacking=lacking.to_manifest())
    quality = inspect_ids(SemanticIDs.build(range(len(rows)), codes, [4, 3], manifest))
    assert quality.items == quality.counts[0].sum() == len(rows)
    have = codes[~absent["image"]]
    assert quality.counts[1].tolist() == [int((have[:, 1] == code).sum()) for code in range(3)]
    assert quality.lacking == lacking
    if len(have):
        alone = inspect_ids(SemanticIDs.build(range(len(have)), have, [4, 3]))
        assert quality.entropies[1] == alone.entropies[1]
        assert quality.ginis[1] == alone.ginis[1]
        assert quality.entropy == (quality.entropies[0] + alone.entropies[1]) / 2
    else:
        assert math.isnan(quality.entropies[1])
        assert quality.entropy == quality.entropies[0]


def test_the_manifest_says_who_lacks_what_better_than_the_catalogue_of_today() -> None:
    codes, all_lack = np.zeros((4, 1), np.int32), {"image": np.ones(4, bool)}
    today = Lacking.of(codes, all_lack, {"image": [0]})
    silent = SemanticIDs.build(range(4), codes, [2])
    assert inspect_ids(silent, lacking=today).lacking == today
    told = SemanticIDs.build(range(4), codes, [2], build_manifest([2], lacking={}))
    assert inspect_ids(told, lacking=today).lacking == Lacking()


def test_rows_taken_out_of_a_table_make_no_negative_count() -> None:
    codes = np.array([[0], [0], [1]])
    lacking = Lacking.of(codes, {"image": np.array([True, True, False])}, {"image": [0]})
    manifest = build_manifest([2], lacking=lacking.to_manifest())
    quality = inspect_ids(SemanticIDs.build([5], codes[:1], [2], manifest))
    assert quality.counts[0].tolist() == [0, 0]

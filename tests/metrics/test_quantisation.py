from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmq.errors import DataError
from mmq.metrics.quantisation import (
    Reconstruction,
    code_counts,
    entropy,
    fvu,
    gini,
    l_recon,
    perplexity,
    sharing,
    utilisation,
)

SIZES = (4, 7, 1)


@st.composite
def code_tables(draw: st.DrawFn) -> np.ndarray:
    row = st.tuples(*(st.integers(0, size - 1) for size in SIZES))
    return np.array(draw(st.lists(row, min_size=1, max_size=50)), np.int32)


@given(code_tables())
def test_usage_figures_agree_with_plain_loops(codes: np.ndarray) -> None:
    counts = code_counts(codes, SIZES)
    for position, size in enumerate(SIZES):
        column = codes[:, position].tolist()
        use = [column.count(code) for code in range(size)]
        assert counts[position].tolist() == use
        nats = -sum(u / len(column) * math.log(u / len(column)) for u in use if u)
        assert entropy(counts)[position] == pytest.approx(nats, abs=1e-12)
        assert perplexity(counts)[position] == pytest.approx(math.exp(nats))
        assert utilisation(counts)[position] == len(set(column)) / size
        differences = sum(abs(a - b) for a in use for b in use)
        assert gini(counts)[position] == pytest.approx(differences / (2 * size * len(column)))


@given(code_tables())
def test_bounds(codes: np.ndarray) -> None:
    counts = code_counts(codes, SIZES)
    assert (entropy(counts) >= 0).all()
    assert (entropy(counts) <= np.log(SIZES) + 1e-12).all()
    assert (gini(counts) >= 0).all()
    assert (gini(counts) < 1).all()


@given(code_tables(), st.randoms(use_true_random=False))
def test_the_order_of_items_changes_nothing(codes: np.ndarray, random: object) -> None:
    order = list(range(len(codes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert sharing(codes) == sharing(codes[order])
    assert (entropy(code_counts(codes, SIZES)) == entropy(code_counts(codes[order], SIZES))).all()


@given(code_tables())
def test_sharing_agrees_with_a_counter(codes: np.ndarray) -> None:
    sizes = Counter(map(tuple, codes.tolist())).values()
    result = sharing(codes)
    assert result.distinct_share == len(sizes) / len(codes)
    assert result.colliding_items == sum(size for size in sizes if size > 1)
    assert result.largest_bucket == max(sizes)


def test_even_use_reaches_the_ceiling() -> None:
    counts = code_counts(np.arange(300)[:, None] % 100, [100])
    assert entropy(counts)[0] == pytest.approx(math.log(100))
    assert (utilisation(counts)[0], gini(counts)[0]) == (1.0, 0.0)


def test_one_code_has_no_entropy() -> None:
    counts = code_counts(np.full((9, 1), 3), [10])
    assert (entropy(counts)[0], perplexity(counts)[0]) == (0.0, 1.0)
    assert gini(counts)[0] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        (np.array([[0, 3]]), [2, 3], "code 3 at position 1 is outside its codebook of 3"),
        (np.array([[-1, 0]]), [2, 3], "code -1 at position 0"),
        (np.array([[0, 1]]), [2], "one codebook a position"),
        (np.array([0, 1]), [2, 2], "should be"),
        (np.array([[0.5]]), [2], "whole numbers"),
    ],
)
def test_codes_that_do_not_fit_are_refused(
    codes: np.ndarray, sizes: list[int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        code_counts(codes, sizes)


VALUES = st.floats(-5, 5, width=32)


@st.composite
def reconstructions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 4)))
    matrices = hnp.arrays(np.float32, shape, elements=VALUES)
    present = draw(hnp.arrays(bool, shape[0]))
    return draw(matrices), draw(matrices), present


@given(reconstructions(), st.integers(0, 12))
def test_reconstruction_in_two_batches_agrees_with_plain_loops(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], cut: int
) -> None:
    target, output, present = case
    pieces = [slice(None, cut), slice(cut, None)]
    first, second = (Reconstruction.of(target[p], output[p], present[p]) for p in pieces)
    total = first + second
    kept = [row for row in range(len(target)) if present[row]]
    wide, error = target.astype(float), 0.0
    for row in kept:
        error += sum((wide[row, d] - float(output[row, d])) ** 2 for d in range(target.shape[1]))
    assert total.items == len(kept)
    assert total.squared_error == pytest.approx(error, rel=1e-5, abs=1e-9)
    if kept:
        deviation = ((wide[kept] - wide[kept].mean(axis=0)) ** 2).sum()
        assert total.l_recon == pytest.approx(error / len(kept), rel=1e-5, abs=1e-9)
        assert total.squared_deviation == pytest.approx(deviation, abs=1e-9)
        assert total.mean == pytest.approx(wide[kept].mean(axis=0), abs=1e-9)
    else:
        assert math.isnan(total.l_recon)


def test_fvu_is_one_for_the_mean_and_zero_for_the_target() -> None:
    target = np.random.default_rng(0).normal(3, 1, (50, 4)).astype(np.float32)
    mean = np.broadcast_to(target.mean(axis=0), target.shape)
    assert Reconstruction.of(target, mean).fvu == pytest.approx(1, abs=1e-5)
    assert Reconstruction.of(target, target).fvu == 0.0


def test_modalities_together_count_missing_ones_as_no_error() -> None:
    text = Reconstruction.of(np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros((2, 2)))
    image = Reconstruction.of(
        np.array([[3.0], [0.0], [1.0]]), np.zeros((3, 1)), np.array([True, False, True])
    )
    parts = {"text": text, "image": image}
    assert l_recon(parts, items=3) == pytest.approx((2 + 10) / 3)
    assert l_recon(parts, 3, {"text": 4.0, "image": 0.5}) == pytest.approx((4 * 2 + 10 / 2) / 3)


def test_modalities_count_alike_by_the_items_that_have_them() -> None:
    text = Reconstruction.of(np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros((2, 2)))
    image = Reconstruction.of(
        np.array([[3.0], [0.0], [1.0]]), np.zeros((3, 1)), np.array([True, False, True])
    )
    assert fvu({"text": text, "image": image}) == pytest.approx((2 / 1 * 2 + 10 / 2 * 2) / 4)
    louder = Reconstruction.of(np.array([[30.0], [0.0], [10.0]]), np.zeros((3, 1)))
    once = Reconstruction.of(np.array([[3.0], [0.0], [1.0]]), np.zeros((3, 1)))
    assert fvu({"text": text, "image": louder}) == pytest.approx(fvu({"text": text, "image": once}))
    constant = Reconstruction.of(np.ones((5, 2)), np.ones((5, 2)))  # nothing to explain
    assert fvu({"text": text, "image": constant}) == pytest.approx(2)

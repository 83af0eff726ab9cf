from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.errors import SettingsError
from mmq.metrics.buckets import bucket_ids, occurrence
from mmq.semantic_ids._collisions import Candidates, best_first, move_collisions


class Fixed:
    """Candidates of all items from one score matrix; remembers for which rows it was asked."""

    def __init__(self, scores: np.ndarray, top: int) -> None:
        order = np.argsort(-scores, axis=2, kind="stable")[:, :, :top]
        self.codes, self.scores = order, np.take_along_axis(scores, order, axis=2)
        self.asked: list[int] = []

    def __call__(self, rows: np.ndarray) -> Candidates:
        self.asked += rows.tolist()
        return Candidates(self.codes[rows], self.scores[rows])


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Fixed, np.ndarray]:
    """Crowded tables: codes are each item's best candidates, with equal scores now and then."""
    items, length, size = (draw(st.integers(1, most)) for most in (25, 3, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.integers(0, 6, (items, length, size)) / 8
    if draw(st.booleans()):  # identical items
        scores[:] = scores[0]
    candidates = Fixed(scores, draw(st.integers(1, size)))
    taken = rng.integers(0, size, (draw(st.integers(0, 10)), length))
    return candidates.codes[:, :, 0], candidates, taken


def brute_force(
    codes: np.ndarray, candidates: Fixed, taken: np.ndarray
) -> list[tuple[bool, float]]:
    """Item after item: whether a combination is free, and the loss of the best free one."""
    used = set(map(tuple, taken.tolist())) | set(map(tuple, codes.tolist()))
    seen = set(map(tuple, taken.tolist()))
    moved, _ = move_collisions(codes, candidates, taken)
    result = []
    for row, own in enumerate(map(tuple, codes.tolist())):
        if own not in seen:
            seen.add(own)
            result.append((False, 0.0))
            continue
        names, scores = candidates.codes[row], candidates.scores[row]
        losses = {}
        for place in itertools.product(range(names.shape[1]), repeat=len(names)):
            option = tuple(int(names[p, i]) for p, i in enumerate(place))
            losses[option] = sum(scores[p, 0] - scores[p, i] for p, i in enumerate(place))
        free = {option: loss for option, loss in losses.items() if option not in used}
        result.append((bool(free), min(free.values(), default=0.0)))
        choice = tuple(moved[row].tolist())
        if free:
            assert free[choice] == pytest.approx(min(free.values()))
            used.add(choice)
        else:
            assert choice == own
    return result


@given(cases())
def test_each_item_takes_the_free_id_of_least_loss(
    case: tuple[np.ndarray, Fixed, np.ndarray],
) -> None:
    codes, candidates, taken = case
    expected = brute_force(codes, candidates, taken)
    result = move_collisions(codes, candidates, taken)
    assert result.moved.tolist() == [free for free, _ in expected]
    assert (result.codes[~result.moved] == codes[~result.moved]).all()


@given(cases())
def test_moved_items_are_alone(case: tuple[np.ndarray, Fixed, np.ndarray]) -> None:
    codes, candidates, taken = case
    result = move_collisions(codes, candidates, taken)
    everything = np.concatenate([taken, codes, result.codes[result.moved]])
    buckets = bucket_ids(everything)
    assert (np.bincount(buckets)[buckets[len(taken) + len(codes) :]] == 1).all()


@given(cases())
def test_only_colliding_items_are_asked_for(case: tuple[np.ndarray, Fixed, np.ndarray]) -> None:
    codes, candidates, taken = case
    move_collisions(codes, candidates, taken)
    late = occurrence(bucket_ids(np.concatenate([taken, codes])))[len(taken) :] > 0
    assert candidates.asked == np.flatnonzero(late).tolist()


@given(cases(), st.integers(1, 4))
def test_pieces_and_looks_change_nothing(
    case: tuple[np.ndarray, Fixed, np.ndarray], size: int
) -> None:
    codes, candidates, taken = case
    whole = move_collisions(codes, candidates, taken)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_CHUNK", "_FIRST_LOOK", "_FURTHER_LOOK"):
            patch.setattr(f"mmq.semantic_ids._collisions.{name}", size)
        pieces = move_collisions(codes, candidates, taken)
    assert (whole.codes == pieces.codes).all()


def test_best_first_visits_every_combination_once_by_loss() -> None:
    scores = -np.sort(np.random.default_rng(0).random((3, 4)), axis=1)
    names = np.arange(12).reshape(3, 4)
    order = list(best_first(names, scores))
    assert sorted(order) == sorted(itertools.product(*names.tolist()))
    losses = [sum(scores[p, 0] - scores[p, c % 4] for p, c in enumerate(o)) for o in order]
    assert losses == sorted(losses)


def test_forbidden_codes_are_never_taken() -> None:
    scores = np.array([[[0.9, -np.inf, -np.inf], [0.8, 0.5, 0.1]]]).repeat(4, axis=0)
    names = np.array([[[0, 1, 2], [0, 1, 2]]]).repeat(4, axis=0)
    codes = np.zeros((4, 2), int)
    result = move_collisions(codes, lambda rows: Candidates(names[rows], scores[rows]))
    assert result.codes.tolist() == [[0, 0], [0, 1], [0, 2], [0, 0]]
    assert result.moved.tolist() == [False, True, True, False]


def test_the_limit_falls_back_to_the_rank() -> None:
    candidates = Fixed(np.tile(np.array([3.0, 2.0, 1.0, 0.0]), (4, 1, 1)), top=4)
    result = move_collisions(np.zeros((4, 1), int), candidates, limit=2)
    assert result.codes[:, 0].tolist() == [0, 1, 0, 0]
    with pytest.raises(SettingsError, match="at least 1"):
        move_collisions(np.zeros((4, 1), int), candidates, limit=0)


def test_the_given_codes_are_not_changed() -> None:
    codes = np.zeros((2, 1), np.int32)
    move_collisions(codes, Fixed(np.tile([1.0, 0.5], (2, 1, 1)), top=2))
    assert codes.tolist() == [[0], [0]]

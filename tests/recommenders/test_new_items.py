import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.decoding import Decoded, Filters
from mmq.errors import SettingsError
from mmq.recommenders import NewItems, Popularity, evaluate
from mmq.recommenders._dense import top_items
from mmq.recommenders._new_items import merged, new_since_training
from mmq.semantic_ids import SemanticIDs
from mmq.testing import tiny_ids, tiny_retrieval_data

SIZES = (4, 2, 3)
SHARES = st.sampled_from([0.05, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0])


def by_loops(scores, new, share, k):
    """Place after place: the best item that is left, unless new items are behind their share."""
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], new[row], row))
    order = [row for row in order if scores[row] > -np.inf]
    taken = []
    while len(taken) < k and len(taken) < len(order):
        left = [row for row in order if row not in taken]
        young = [row for row in left if new[row]]
        wanted = int(share * (len(taken) + 1) + 0.5 + 1e-9)
        behind = sum(bool(new[row]) for row in taken) < wanted
        taken.append((young if behind and young else left)[0])
    return taken


@given(st.integers(0, 10**6), SHARES, st.integers(1, 12), st.floats(0, 1))
def test_places_are_those_of_a_plain_loop(seed, share, k, odds):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, 12).astype(np.float32)  # many are equal
    scores[rng.random(12) < 0.2] = -np.inf
    new = rng.random(12) < odds
    if not new.any():
        return
    shown = NewItems(new, share)
    rows = torch.from_numpy(scores)[None]
    found = shown.found(lambda filters: top_items(rows.clone(), k, filters), Filters())
    expected = by_loops(scores.tolist(), new.tolist(), share, k)
    assert [row for row in found.rows[0].tolist() if row >= 0] == expected
    assert found.rows[0].tolist()[len(expected) :] == [-1] * (k - len(expected))
    assert found.scores[0].tolist()[: len(expected)] == scores[expected].tolist()
    least = min(shown.places(k), int((new & (scores > -np.inf)).sum()))
    assert new[expected].sum() >= least
    placed = shown.placed(rows)
    assert placed.topk(len(expected)).indices[0].tolist() == expected
    assert torch.equal(placed == -torch.inf, rows == -torch.inf)


def test_five_in_a_hundred_is_one_of_ten_at_the_last_place():
    old = Decoded(torch.arange(100)[None], torch.arange(100.0).flip(0)[None])
    new = Decoded(100 + torch.arange(100)[None], torch.full((1, 100), -1.0))
    rows = merged(old, new, 0.05).rows[0]
    assert (rows >= 100).nonzero()[:, 0].tolist() == [9, 29, 49, 69, 89]
    shown = NewItems(np.ones(1, bool), 0.05)
    assert [shown.places(k) for k in (9, 10, 20, 29, 30, 100)] == [0, 1, 1, 1, 2, 5]
    shown.require_place(10)
    with pytest.raises(SettingsError, match=r"of 9 recommendations .* give 0.0555556 or more"):
        shown.require_place(9)


def test_new_is_what_training_lacked_and_not_what_is_rare():
    trained = pa.array(["a", "b"])
    assert not new_since_training(trained, trained).any()
    assert new_since_training(trained, pa.array(["c", "b"])).tolist() == [True, False]
    model = Popularity()
    model.fit(tiny_retrieval_data())
    assert (model.items.popularity == 0).any()
    assert model.new_items.count == 0


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(SettingsError, match=r"is not between 0 and 1; give 0\.05"):
        NewItems(np.ones(3, bool), share)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(SettingsError, match="none of the 3 items is new since training"):
        NewItems(np.zeros(3, bool), 0.1)


@pytest.fixture(scope="module")
def model():
    """Six newer items in a table of 36."""
    from mmq.recommenders import HeterRec

    made = HeterRec(hidden_dim=8, heads=2, epochs=1, history=5, device="cpu")
    made.fit(tiny_retrieval_data())
    old = tiny_ids()
    codes = np.concatenate([old.codes, old.codes[:6]])
    names = [*old.item_ids.to_pylist(), *(f"new-{row}" for row in range(6))]
    made.with_ids(SemanticIDs.build(names, codes, SIZES))
    return made


@pytest.mark.parametrize("beams", [None, 40])
def test_everybody_is_shown_the_share(model, beams):
    histories = tiny_retrieval_data().test.histories
    model.show_new_items(0.0)
    plain = model.search(histories, 10, beams=beams)
    model.show_new_items(0.3)
    found = model.search(histories, 10, beams=beams)
    new = torch.from_numpy(model.new_items.mask)
    assert model.new_items.count == 6
    assert (new[found.rows].sum(1) >= 3).all()
    assert (new[found.rows[:, :5]].sum(1) >= 2).all()
    before = new[plain.rows]
    enough = (before.cumsum(1) >= (torch.arange(1, 11) * 0.3 + 0.5).int()).all(1)
    assert torch.equal(found.rows[enough], plain.rows[enough])
    few = model.search(histories, 4, beams=beams)
    assert torch.equal(few.rows, found.rows[:, :4])
    only_old = model.search(histories, 10, Filters(~new), beams)
    assert not new[only_old.rows].any()
    assert (only_old.rows >= 0).all()


def test_whoever_has_no_history_is_shown_new_items_too(model):
    model.show_new_items(0.2)
    (items,) = model.recommend([["gone"]], 10, lenient=True).item_ids
    assert sum(item.startswith("new-") for item in items) == 2
    assert items[2] == "new-0"


def test_items_of_late_are_new_as_well(model):
    recent = np.zeros(36, bool)
    recent[3] = True
    model.show_new_items(0.1, recent)
    assert np.flatnonzero(model.new_items.mask).tolist() == [3, *range(30, 36)]


def test_an_evaluation_sees_the_places(model):
    cases = tiny_retrieval_data().test
    model.show_new_items(0.0)
    plain = evaluate(model, cases)
    model.show_new_items(0.5)
    found = evaluate(model, cases)
    shown = model.search(cases.histories, 10).rows
    hit = (shown == torch.from_numpy(cases.targets)[:, None]).any(1).numpy()
    assert np.mean(found.ranks.above < 10) == hit.mean()
    assert (found.ranks.tied == 1).all()
    assert found.figures["recall@10"] < plain.figures["recall@10"], "the cases ask for old items"
    every = found.of_cases(np.ones(len(cases.targets), bool), (5, 10))
    assert every == pytest.approx({name: found.figures[name] for name in every})
    assert found.of_cases(np.zeros(len(cases.targets), bool), (5, 10)) == {}

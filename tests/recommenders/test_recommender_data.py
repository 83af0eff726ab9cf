import numpy as np
import pytest

from mmq.data._cold import withhold_items
from mmq.data._interactions import Interactions
from mmq.errors import DataError, SettingsError
from mmq.recommenders import RetrievalData, SplitSettings
from mmq.semantic_ids import SemanticIDs
from mmq.testing import tiny_ids, tiny_log

ALL = SplitSettings(min_interactions=0)


def histories_of(cases):
    packed = cases.histories.pack()
    return [each.tolist() for each in np.split(packed.rows, np.cumsum(packed.lengths)[:-1])]


def test_the_last_item_is_the_test_and_the_one_before_the_validation():
    log, ids = tiny_log(), tiny_ids()
    data = RetrievalData.of(log, ids, ALL)
    assert data.ids is ids
    assert data.item_ids.equals(ids.item_ids)
    met = {}
    for user, item in zip(log.user_ids.to_pylist(), log.item_ids.to_pylist(), strict=True):
        met.setdefault(user, []).append(ids.row(item))
    sequences = list(met.values())
    packed = data.train.pack()
    trained = np.split(packed.rows, np.cumsum(packed.lengths)[:-1])
    assert [each.tolist() for each in trained] == [each[:-2] for each in sequences]
    assert data.validation.targets.tolist() == [each[-2] for each in sequences]
    assert histories_of(data.validation) == [each[:-2] for each in sequences]
    assert data.test.targets.tolist() == [each[-1] for each in sequences]
    assert histories_of(data.test) == [each[:-1] for each in sequences]
    counts = [sum(each[:-2].count(row) for each in sequences) for row in range(len(ids))]
    assert data.popularity().tolist() == counts
    assert counts[-2:] == [0, 0]


def test_items_are_those_of_the_log_unless_others_are_given():
    log = tiny_log()
    assert RetrievalData.of(log, settings=ALL).item_ids.equals(log.items.ids)
    names = [f"item-{row}" for row in reversed(range(40))]
    data = RetrievalData.of(log, names, ALL)
    assert data.ids is None
    assert data.item_ids.to_pylist() == names
    rows = RetrievalData.of(log, tiny_ids(), ALL).test.targets
    np.testing.assert_array_equal(data.test.targets, 39 - rows)


def test_cold_cases_ask_for_what_nobody_met_given_what_came_before():
    log, names = tiny_log(), [f"item-{row}" for row in range(30)]
    withheld = withhold_items(log, 0.2, seed=1)
    data = RetrievalData.of(withheld.rest, names, ALL)
    cases = data.cold_cases(withheld)
    cold = {names.index(item) for item in withheld.cold_items.to_pylist()}
    expected = []
    met = {}
    for user, item in zip(log.user_ids.to_pylist(), log.item_ids.to_pylist(), strict=True):
        row, before = names.index(item), met.setdefault(user, [])
        if row not in cold:
            before.append(row)
        elif before:
            expected.append((row, list(before)))
    assert len(expected) > 10
    assert list(zip(cases.targets.tolist(), histories_of(cases), strict=True)) == expected
    assert not data.popularity()[sorted(cold)].any()


def test_several_targets_a_user_by_time():
    users, items = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2], [0, 1, 2, 3, 0, 1, 1, 2, 2, 2]
    columns = {"user_id": users, "item_id": items, "timestamp": [1, 2, 8, 3, 4, 7, 5, 6, 9, 10]}
    settings = SplitSettings(split="chronological", min_interactions=0)
    data = RetrievalData.of(Interactions.build(columns), range(4), settings)
    # eight of ten to train on, one to validate; user 2 meets item 2 once more in each part
    assert data.validation.targets.tolist() == [2]
    assert histories_of(data.validation) == [[1, 2]]
    assert data.test.targets.tolist() == [2]
    assert histories_of(data.test) == [[1, 2, 2]]


def test_the_logs_own_split_and_its_ratings():
    columns = {
        "user_id": [0, 0, 0, 0, 1, 1],
        "item_id": [0, 1, 2, 3, 0, 1],
        "timestamp": [0, 1, 2, 3, 4, 5],
        "rating": [5, 2, 5, 4, 5, 5],
        "split": ["train", "train", "validation", "test", "train", "train"],
    }
    settings = SplitSettings(split="stored", min_interactions=0)
    data = RetrievalData.of(Interactions.build(columns), range(4), settings)
    assert (histories_of(data.validation), data.validation.targets.tolist()) == ([[0]], [2])
    assert (histories_of(data.test), data.test.targets.tolist()) == ([[0, 2]], [3])
    assert data.train.pack().rows.tolist() == [0, 0, 1]
    everything = settings.model_copy(update={"positive_above": 1.0})
    data = RetrievalData.of(Interactions.build(columns), range(4), everything)
    assert data.train.pack().rows.tolist() == [0, 1, 0, 1]


def test_rare_users_and_items_are_left_out():
    users, items = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    columns = {"user_id": [*users, 9, 0], "item_id": [*items, 0, 7], "timestamp": np.arange(32)}
    data = RetrievalData.of(Interactions.build(columns))
    assert data.item_ids.to_pylist() == list(range(5))
    assert len(data.train) == 6


def test_what_it_refuses():
    log, names = tiny_log(), [f"item-{row}" for row in range(30)]
    with pytest.raises(DataError, match=r"2 of 28 items .* 'item-2"):
        RetrievalData.of(log, tiny_ids(26), ALL)
    with pytest.raises(DataError, match="no semantic ID or are not among"):
        RetrievalData.of(log, names[1:], ALL)
    with pytest.raises(DataError, match="no interactions are left"):
        RetrievalData.of(log, names, SplitSettings(min_interactions=1000))
    with pytest.raises(DataError, match="'item-3' occurs 2 times"):
        RetrievalData.of(log, [*names, "item-3"], ALL)
    with pytest.raises(DataError, match="no item id"):
        RetrievalData.of(log, [*names, None], ALL)
    short = Interactions.build({"user_id": [0, 0, 1, 1], "item_id": [0, 1, 0, 1]})
    with pytest.raises(DataError, match="leave-one-out split leaves no validation interaction"):
        RetrievalData.of(short, settings=ALL)
    with pytest.raises(SettingsError, match="split"):
        SplitSettings.parse({"split": "random"})


def test_number_and_string_ids_are_matched():
    log = Interactions.build(
        {"user_id": [0] * 4, "item_id": ["0", "2", "1", "0"], "timestamp": range(4)}
    )
    ids = SemanticIDs.build(range(3), [[0], [1], [2]], [3])
    data = RetrievalData.of(log, ids, ALL)
    assert data.train.pack().rows.tolist() == [0, 2]

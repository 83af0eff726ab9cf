import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._interactions import Interactions
from mmq.data._sequences import Packed, Sequences, held_out_cases, user_sequences

lists = st.lists(st.lists(st.integers(0, 99), max_size=12), min_size=1, max_size=6)


def sequences_of(values):
    rows = np.array([row for each in values for row in each], np.int64)
    return Sequences.of(Packed(rows, np.array([len(each) for each in values])))


def as_lists(sequences):
    spans = zip(sequences.first.tolist(), sequences.end.tolist(), strict=True)
    return [sequences.rows[first:end].tolist() for first, end in spans]


@given(lists)
def test_sequences_lie_end_to_end(values):
    sequences = sequences_of(values)
    assert len(sequences) == len(values)
    assert as_lists(sequences) == values
    assert sequences.lengths.tolist() == [len(each) for each in values]


@given(lists, st.integers(1, 15))
def test_latest_entries(values, length):
    assert as_lists(sequences_of(values).latest(length)) == [each[-length:] for each in values]


@given(lists, st.data())
def test_packing_copies_what_was_taken_in_its_order(values, data):
    sequences = sequences_of(values)
    numbers = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=8))
    packed = sequences.take(np.array(numbers, np.int64)).pack()
    assert packed.rows.tolist() == [row for number in numbers for row in values[number]]
    assert packed.lengths.tolist() == [len(values[number]) for number in numbers]
    mask = np.array([bool(each) for each in values])
    assert as_lists(sequences.take(mask)) == [each for each in values if each]
    assert as_lists(sequences.take(slice(1, None))) == values[1:]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 9), st.integers(0, 9))
def test_every_entry_but_the_first_is_a_target_of_one_window(lengths, length, seed):
    values = [list(range(100 * user, 100 * user + n)) for user, n in enumerate(lengths)]
    sequences = sequences_of(values)
    windows = as_lists(sequences.windows(length, np.random.default_rng(seed)))
    again = as_lists(sequences.windows(length, np.random.default_rng(seed)))
    assert windows == again
    targets = [row for window in windows for row in window[1:]]
    assert targets == [row for each in values for row in each[1:]]
    for window in windows:
        assert 2 <= len(window) <= length + 1
        assert window == list(range(window[0], window[-1] + 1))
        assert window[0] // 100 == window[-1] // 100
    for each in values:
        if 2 <= len(each) <= length + 1:
            assert each in windows


def test_windows_are_cut_elsewhere_every_time():
    sequences, generator = sequences_of([list(range(50))]), np.random.default_rng(0)
    cuts = [tuple(sequences.windows(10, generator).first) for _ in range(60)]
    heads = {cut[1] for cut in cuts}
    assert heads == set(range(1, 11))  # the first window asks for 1 to 10 targets


USERS = ["b", "a", "b", "c", "a", "b", "d", "a", "b"]
ITEMS = [10, 11, 12, 13, 14, 15, 16, 11, 12]
TIMES = [5, 1, 5, 0, 0, 1, 2, 1, None]
ROWS = np.array([0, 1, 2, 3, 4, 5, 6, 1, 2])


@pytest.fixture
def log():
    return Interactions.build({"user_id": USERS, "item_id": ITEMS, "timestamp": TIMES})


def ordered(user):
    """Numbers of a user's interactions by time; without one first, ties in the order of input."""
    numbers = [number for number, name in enumerate(USERS) if name == user]
    return sorted(numbers, key=lambda number: -1 if TIMES[number] is None else TIMES[number])


def test_a_sequence_for_every_user_in_the_order_of_time(log):
    users = log.users.ids.to_pylist()
    assert users == ["b", "a", "c", "d"]
    everything = user_sequences(log, ROWS, np.ones(9, bool))
    assert as_lists(everything) == [[ROWS[n] for n in ordered(user)] for user in users]
    assert as_lists(everything) == [[2, 5, 0, 2], [4, 1, 1], [3], [6]]
    known = np.array([1, 1, 0, 0, 1, 1, 1, 0, 1], bool)
    some = user_sequences(log, ROWS, known)
    assert as_lists(some) == [[ROWS[n] for n in ordered(user) if known[n]] for user in users]


def loops(users, times, rows, known, target):
    """``(user, history, target)`` of every case, by plain loops."""
    cases = []
    for user in dict.fromkeys(users):
        numbers = [number for number, name in enumerate(users) if name == user]
        numbers.sort(key=lambda number: times[number])
        history = []
        for number in numbers:
            case = (user, tuple(history), rows[number])
            if target[number] and case not in cases:
                cases.append(case)
            if known[number]:
                history.append(rows[number])
    return cases


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 5), st.integers(0, 4), st.booleans(), st.booleans()
        ),
        min_size=1,
        max_size=30,
    )
)
def test_held_out_cases_are_those_of_plain_loops(rows):
    users, times, items, known, target = (list(column) for column in zip(*rows, strict=True))
    log = Interactions.build({"user_id": users, "item_id": items, "timestamp": times})
    names = log.users.ids.to_pylist()
    cases = held_out_cases(log, np.array(items), np.array(known), np.array(target))
    found = [
        (names[user], tuple(history), item)
        for user, history, item in zip(
            cases.users, as_lists(cases.histories), cases.targets.tolist(), strict=True
        )
    ]
    expected = loops(users, times, items, known, target)
    assert found == expected
    some = cases.with_history()
    assert some.targets.tolist() == [target for _, history, target in expected if history]
    assert not len(some.histories) or some.histories.lengths.min() > 0


def test_targets_of_one_user_and_history_stand_in_one_list():
    users, items = [7, 7, 7, 7, 7, 8, 8], [0, 1, 2, 3, 4, 5, 6]
    log = Interactions.build({"user_id": users, "item_id": items, "timestamp": range(7)})
    target = np.array([0, 1, 1, 0, 1, 0, 1], bool)
    cases = held_out_cases(log, np.arange(7), ~target, target)
    assert cases.targets.tolist() == [1, 2, 4, 6]
    assert cases.users.tolist() == [0, 0, 0, 1]
    assert cases.lists.tolist() == [0, 0, 1, 2]
    assert cases.take(np.array([2, 3])).lists.tolist() == [0, 1]


def test_sequences_at_places_and_an_empty_one_where_there_is_none():
    sequences = Sequences.of(Packed(np.array([7, 8, 9]), np.array([1, 2])))
    packed = sequences.at(np.array([1, -1, 0, 1])).pack()
    assert packed.rows.tolist() == [8, 9, 7, 8, 9]
    assert packed.lengths.tolist() == [2, 0, 1, 2]
    nothing = Sequences.of(Packed(np.array([], np.int64), np.array([], np.int64)))
    assert nothing.at(np.array([-1, -1])).lengths.tolist() == [0, 0]

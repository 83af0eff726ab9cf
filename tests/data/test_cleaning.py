from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_times import forms_of, iso

from mmq import Interactions
from mmq.data._cleaning import repeated_rows, shuffled, tied_users, with_items
from mmq.data._hashing import mixed, text_hashes
from mmq.data._log import LogReader, read_interactions
from mmq.data._splits import (
    chronological_split,
    leave_one_out,
    leave_one_out_parts,
    random_parts,
)
from mmq.errors import DataError
from mmq.ranking import RankingData, RankingSplit
from mmq.recommenders import RetrievalData, SplitSettings

EVENTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40
)
START = 1_600_000_000_000_000


def log_of(events, **further):
    users, items, times = (list(each) for each in zip(*events, strict=True))
    moments = pa.array([START + each for each in times])
    columns = {"user_id": users, "item_id": items, "timestamp": moments}
    return Interactions.build({**columns, **further})


# --- whole rows that come twice ---


@given(EVENTS)
def test_repeated_rows_are_those_met_before(events):
    seen, expected = set(), []
    for event in events:
        expected.append(event in seen)
        seen.add(event)
    assert repeated_rows(log_of(events)).tolist() == expected
    distinct = [place % 2 for place in range(len(events))]
    marked = [(*event, mark) for event, mark in zip(events, distinct, strict=True)]
    seen, expected = set(), []
    for event in marked:
        expected.append(event in seen)
        seen.add(event)
    assert repeated_rows(log_of(events, label=distinct)).tolist() == expected


def test_dedupe_gives_what_one_copy_gives():
    events = [(user, item, 10 * user + item) for user in range(4) for item in range(6)]
    once, twice = log_of(events), log_of([*events, *events])
    settings = SplitSettings(min_interactions=0, dedupe=True)
    one, two = (RetrievalData.of(log, None, settings) for log in (once, twice))
    assert one.fingerprint() == two.fingerprint()
    labels = [item % 2 for _, item, _ in events]
    one = RankingData.of(log_of(events, label=labels))
    two = RankingData.of(log_of(events * 2, label=labels * 2), RankingSplit(dedupe=True))
    assert one.fingerprint() == two.fingerprint()


# --- items without an ID ---


def test_rows_of_unknown_items():
    log = log_of([(1, 7, 0), (1, 8, 1), (2, 9, 2)])
    assert with_items(log, pa.array([7, 9])).tolist() == [True, False, True]
    assert with_items(log, pa.array(["9", "x"])).tolist() == [False, False, True]
    with pytest.raises(DataError, match="none of the 3 items of the log is known"):
        with_items(log, pa.array([1]))
    assert not with_items(log, pa.array([1]), strict=False).any()


def test_unknown_items_are_left_out_where_that_is_asked_for():
    events = [(user, item, 10 * user + item) for user in range(4) for item in range(6)]
    known = pa.array(range(5))
    with pytest.raises(DataError, match="--drop-unknown"):
        RetrievalData.of(log_of(events), known, SplitSettings(min_interactions=0))
    left = SplitSettings(min_interactions=0, drop_unknown=True)
    found = RetrievalData.of(log_of(events), known, left)
    without = log_of([event for event in events if event[1] < 5])
    assert found.fingerprint() == RetrievalData.of(without, known, left).fingerprint()
    labelled = log_of(events, label=[item % 2 for _, item, _ in events])
    pieces = LogReader.of(labelled).with_items(known)
    assert pieces.rows == 20
    assert RankingData.of(pieces).vocabulary.items.to_pylist() == list(range(5))


# --- ties of time ---


@given(EVENTS, st.randoms(use_true_random=False))
def test_shuffled_rows_change_nothing(events, random):
    rows = list(range(len(events)))
    random.shuffle(rows)
    marks = np.arange(len(events)) % 3 / 2
    one = shuffled(log_of(events, rating=marks))
    two = shuffled(log_of([events[row] for row in rows], rating=marks[rows]))
    assert one.table.equals(two.table)


@given(EVENTS)
def test_types_of_ids_and_times_have_no_say(events):
    as_text = [(str(user), str(item), time) for user, item, time in events]
    base = shuffled(log_of(events))
    assert shuffled(log_of(as_text)).item_ids.to_pylist() == [
        str(item) for item in base.item_ids.to_pylist()
    ]
    fine = log_of(events).table
    nanoseconds = fine.column("timestamp").cast(pa.timestamp("ns"))
    other = shuffled(Interactions(fine.set_column(2, "timestamp", nanoseconds)))
    assert other.item_ids.equals(base.item_ids)


def test_shuffled_ties_are_in_no_order():
    """Of two items at one moment, either comes first as often as the other."""
    pairs = [(user, item, 0) for user in range(2000) for item in (0, 1)]
    log = shuffled(log_of(pairs))
    last = leave_one_out(log_of([(user, 2, -1) for user, item, _ in pairs if item] + pairs))
    assert set(last.test.item_ids.to_pylist()) == {1}  # in the order of the file
    order = log.user_order()
    first = log.item_ids.to_numpy()[order][::2]
    assert 0.45 < first.mean() < 0.55


@given(EVENTS)
def test_tied_users_are_counted_as_a_loop_counts(events):
    log = log_of(events)
    parts = leave_one_out_parts(log)
    tied = of = 0
    for user in {event[0] for event in events}:
        mine = [event for event in events if event[0] == user]
        if len(mine) < 3:
            continue
        of += 1
        times = sorted(event[2] for event in mine)
        tied += times[-1] == times[-2]
    assert tied_users(log, parts) == (tied, of)


# --- one log in every type of time ---


def events_of_a_day():
    """Rows, newest first, many of them within one second, some at one moment."""
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(12), 9), rng.integers(0, 20, 108)
    times = START + users * 60_000_000 + rng.integers(0, 8, 108) * 150_001
    order = np.argsort(-times, kind="stable")
    return users[order], items[order], times[order]


def in_every_form():
    users, items, times = events_of_a_day()
    labels = (users + items) % 2
    for name, moments in forms_of(times.tolist()).items():
        yield name, {"user_id": users, "item_id": items, "timestamp": moments, "label": labels}


def fingerprints(log):
    settings = [
        SplitSettings(min_interactions=0),
        SplitSettings(min_interactions=0, ties="shuffled"),
    ]
    found = [RetrievalData.of(log, range(20), each).fingerprint() for each in settings]
    found += [str(part.item_ids.to_pylist()) for part in chronological_split(log)]
    data = RankingData.of(log)
    return [*found, data.fingerprint(), str(data.test.histories(50).rows.tolist())]


def test_one_log_in_every_type_of_time_is_one_log():
    found = {name: fingerprints(Interactions.build(each)) for name, each in in_every_form()}
    assert len(found) > 15
    first = next(iter(found.values()))
    assert {name for name, each in found.items() if each != first} == set()


def test_one_log_in_every_format_is_one_log(tmp_path):
    users, items, times = events_of_a_day()
    labels = ((users + items) % 2).tolist()
    rows = list(zip(users.tolist(), items.tolist(), iso(times.tolist()), labels, strict=True))
    names = ("user_id", "item_id", "timestamp", "label")
    for name, sign, header in (
        ("a.csv", ",", ",".join(names)),
        ("b.tsv", "\t", "\t".join(names)),
        ("c.inter", "\t", "user_id:token\titem_id:token\ttimestamp:float\tlabel:float"),
        ("d.inter", "\t", "user_id:token\titem_id:token\ttimestamp:token\tlabel:token"),
    ):
        seconds = name == "c.inter"
        lines = [header]
        for place, row in enumerate(rows):
            when = f"{times[place] / 1e6:.6f}" if seconds else row[2]
            lines.append(sign.join(map(str, (*row[:2], when, row[3]))))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    (tmp_path / "e.jsonl").write_text("\n".join(lines))
    table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=10)
    found = {path.name: fingerprints(read_interactions(path)) for path in tmp_path.iterdir()}
    assert len(found) == 6
    first = found["f.parquet"]
    assert {name for name, each in found.items() if each != first} == set()
    for path in sorted(tmp_path.iterdir()):
        assert RankingData.of(LogReader.open(path)).fingerprint() == first[-2], path


# --- hashes, and parts that they draw ---


@given(st.lists(st.text(max_size=5), min_size=1, max_size=20))
def test_hashes_are_of_what_the_text_says(texts):
    found = text_hashes(pa.array(texts)).tolist()
    alone = [int(text_hashes(pa.array(["x", text, "y"])[1:2])[0]) for text in texts]
    assert found == alone
    assert len(set(found)) == len(set(texts))
    assert text_hashes(pa.array([7, -12])).tolist() == text_hashes(pa.array(["7", "-12"])).tolist()


def test_fnv_of_a_known_text():
    expected = 0xCBF29CE484222325
    for letter in b"foobar":
        expected = (expected ^ letter) * 0x100000001B3 % 2**64
    assert expected == 0x85944171F73967E8
    assert text_hashes(pa.array(["foobar"])) == mixed([np.array([expected], np.uint64)])


def test_random_parts_are_of_the_asked_shares_and_of_pairs():
    rng = np.random.default_rng(0)
    events = [(*pair, 0) for pair in rng.integers(0, 300, (9000, 2)).tolist()]
    log = log_of(events)
    parts = random_parts(log, (0.8, 0.1, 0.1))
    shares = np.bincount(parts) / len(parts)
    assert np.abs(shares - [0.8, 0.1, 0.1]).max() < 0.02
    where = {}
    for event, part in zip(events, parts.tolist(), strict=True):
        assert where.setdefault(event, part) == part
    order = rng.permutation(len(events))
    again = random_parts(log_of([events[row] for row in order]), (0.8, 0.1, 0.1))
    assert np.array_equal(again, parts[order])

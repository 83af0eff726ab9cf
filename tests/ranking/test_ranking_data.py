import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranking_shop import OLD, ROWS, columns, names

from mmq.data._interactions import Interactions
from mmq.data._log import LogReader
from mmq.data._spool import Spool
from mmq.errors import DataError, FormatError
from mmq.metrics.ranking import user_aucs
from mmq.ranking import RankingData, RankingSplit
from mmq.ranking._parts import read_parts
from mmq.ranking._survey import survey

PARTS = ("train", "validation", "test")
LONG = 99


def log_of(rows):
    """A log of (user, item, label, part, time), time None where it is not known."""
    users, items, labels, parts, times = zip(*rows, strict=True)
    return Interactions.build(
        {
            "user_id": list(users),
            "item_id": [f"i{item}" for item in items],
            "label": list(labels),
            "split": [PARTS[part] for part in parts],
            "timestamp": pa.array(times, pa.int64()),
        }
    )


def rows_of(data):
    """What each part of the data says of its rows, as ids: (user, item, label, history)."""
    users, items = data.vocabulary.users.to_pylist(), data.vocabulary.items.to_pylist()
    found = []
    for part in (data.train, data.validation, data.test):
        packed = part.histories(LONG)
        histories = np.split(packed.rows, np.cumsum(packed.lengths)[:-1])
        found.append(
            [
                (users[user], items[item], int(label), [items[each] for each in history])
                for user, item, label, history in zip(
                    part.users, part.items, part.labels, histories, strict=True
                )
            ]
        )
    return found


def rows_by_loops(rows, last):
    """As :func:`rows_of`, row by row; a part in ``last`` comes after all that is before it."""
    found = [[], [], []]
    for user, item, label, part, time in rows:
        before = []
        for place, (who, what, liked, earlier, then) in enumerate(rows):
            if who != user or not liked or earlier > part:
                continue
            if (earlier < part) if part in last else (earlier not in last and then < time):
                # a part without times has none of its own, but is later than those before
                moment = (earlier, 0) if earlier in last else (0, then)
                before.append((moment, earlier, place, f"i{what}"))
        found[part].append((user, f"i{item}", label, [each[-1] for each in sorted(before)]))
    return found


@st.composite
def timed_logs(draw):
    """Each part has rows; training is timed, validation and test are timed or not."""
    row = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 1), st.integers(-3, 6))
    last = draw(st.sampled_from([(), (2,), (1, 2)]))
    rows = [
        (user, item, label, part, None if part in last else time)
        for part in range(3)
        for user, item, label, time in draw(st.lists(row, min_size=1, max_size=12))
    ]
    return draw(st.permutations(rows)), last


@given(timed_logs())
def test_histories_by_loops(case):
    rows, last = case
    assert rows_of(RankingData.of(log_of(rows))) == rows_by_loops(rows, last)


@given(timed_logs(), st.integers(1, 3))
def test_histories_are_cut_to_the_last(case, length):
    data = RankingData.of(log_of(case[0]))
    for part in (data.train, data.validation, data.test):
        whole, cut = part.histories(LONG), part.histories(length)
        assert cut.lengths.tolist() == np.minimum(whole.lengths, length).tolist()
        wholes = np.split(whole.rows, np.cumsum(whole.lengths)[:-1])
        expected = [each[-length:] for each in wholes]
        assert cut.rows.tolist() == np.concatenate(expected).tolist()


@st.composite
def partly_timed(draw):
    """Training rows have a time or none, held-out parts have one or have none."""
    row = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 1), st.integers(-3, 6))
    hidden = draw(st.tuples(*[st.booleans()] * 3))
    rows = []
    for part in range(3):
        for user, item, label, time in draw(st.lists(row, min_size=1, max_size=12)):
            lacking = hidden[part] and (part > 0 or draw(st.booleans()))
            rows.append((user, item, label, part, None if lacking else time))
    return draw(st.permutations(rows))


@given(partly_timed())
def test_training_rows_without_time_are_given_one_of_their_user(rows):
    log = log_of(rows)
    pieces = LogReader.of(log)
    parts, dealt = read_parts(
        pieces, survey(pieces, RankingSplit(split="stored"), Spool()), Spool(), False
    )
    given_times = {
        part: [time for *_, own, time in rows if own == part and time is not None]
        for part in range(3)
    }
    train = [row for row in rows if row[3] == 0]
    times = parts[0]["times"].tolist()
    timed = [(row, found) for row, found in zip(train, times, strict=True) if row[4] is not None]
    shift = {row[4] - found for row, found in timed}
    assert len(shift) <= 1  # known times keep their distances
    in_part = 0 < len(timed) < len(train)
    assert (dealt is not None) == in_part  # histories end at the times of other rows of the user
    for user in {row[0] for row in train} if in_part else ():
        mine = [row[0] == user for row in train]
        assert sorted(dealt[mine]) == sorted(parts[0]["times"][mine])
    for row, found in zip(train, times, strict=True):
        own = [other for (user, *_), other in timed if user == row[0]]
        if row[4] is None:
            assert found in own if own else 1 <= found <= max(times)
    for part in (1, 2):  # a part without times is later than those before it
        before = np.concatenate([each["times"] for each in parts[:part]])
        if not given_times[part]:
            assert len(set(parts[part]["times"].tolist())) == 1
            assert parts[part]["times"].min() > before.max()
    if not given_times[0]:  # and training without any is earlier than all others
        assert parts[0]["times"].max() < min(part["times"].min() for part in parts[1:])


@given(partly_timed())
def test_histories_follow_the_times_that_were_given(rows):
    log = log_of(rows)
    pieces = LogReader.of(log)
    parts, dealt = read_parts(
        pieces, survey(pieces, RankingSplit(split="stored"), Spool()), Spool(), False
    )
    drawn = [iter(part["times"].tolist()) for part in parts]
    timed = [(*row[:4], next(drawn[row[3]])) for row in rows]
    found, expected = rows_of(RankingData.of(log)), rows_by_loops(timed, ())
    assert found[1:] == expected[1:]
    if dealt is None:
        assert found[0] == expected[0]


def test_a_log_without_any_times_that_says_how_it_is_divided():
    """What was held out comes after all of the training."""
    rng = np.random.default_rng(0)
    rows = [
        (int(rng.integers(3)), place % 7, int(rng.integers(2)), int(rng.integers(3)), None)
        for place in range(60)
    ]
    found = rows_of(RankingData.of(log_of(rows)))
    for part in (1, 2):
        for user, _, _, history in found[part]:
            liked = [f"i{row[1]}" for row in rows if row[0] == user and row[2] and row[3] < part]
            assert sorted(history) == sorted(liked)


@pytest.mark.parametrize("timed", [1.0, 0.6])
def test_the_length_of_a_history_does_not_tell_the_label(timed):
    """Times for what was liked alone, as some logs have; the labels are random."""
    rng = np.random.default_rng(0)
    users, count = 40, 6000
    labels = rng.integers(0, 2, count)
    times = np.arange(count) + 1_000_000
    known = (labels == 1) & (rng.random(count) < timed)
    parts = np.select([np.arange(count) < 5000, np.arange(count) < 5500], PARTS[:2], PARTS[2])
    known[5000:] = True
    log = Interactions.build(
        {
            "user_id": rng.integers(0, users, count),
            "item_id": rng.integers(0, 50, count),
            "timestamp": pa.array(times, pa.int64(), mask=~known),
            "label": labels,
            "split": parts,
        }
    )
    train = RankingData.of(log).train
    lengths = train.histories(10_000).lengths
    found = user_aucs(train.users, train.labels, lengths.astype(np.float32))
    assert found.eligible_users == users
    assert found.weighted == pytest.approx(0.5, abs=0.03)
    liked, passed = (lengths[train.labels == label] for label in (1, 0))
    assert liked.mean() == pytest.approx(passed.mean(), rel=0.05)
    assert len(set(passed.tolist())) > 20


@pytest.mark.parametrize("part", [1, 2])
def test_a_held_out_part_that_is_timed_in_part_is_refused(part):
    rows = [(0, 0, 1, each, 5) for each in (0, 1, 2)] + [(1, 1, 0, part, None)]
    with pytest.raises(DataError, match=f"1 rows of the {PARTS[part]} part have no timestamp"):
        RankingData.of(log_of(rows))


# --- how the log is divided, and what counts ---


def test_by_time_or_by_its_own_column():
    log = columns(100)
    parts = np.array(PARTS)[np.random.default_rng(1).integers(0, 3, 100)]
    by_time = RankingData.of(Interactions.build(log))
    assert [len(part) for part in by_time.parts] == [80, 10, 10]
    stored = RankingData.of(Interactions.build({**log, "split": parts}))
    assert [len(part) for part in stored.parts] == [int((parts == name).sum()) for name in PARTS]
    again = RankingData.of(
        Interactions.build({**log, "split": parts}),
        RankingSplit(split="chronological"),
    )
    assert [len(part) for part in again.parts] == [80, 10, 10]
    items = again.vocabulary.items.take(again.test.items).to_pylist()
    assert items == log["item_id"][90:].tolist()


def test_labels_or_ratings():
    log = columns(100)
    stars = np.where(log["label"], 4.0, np.where(np.arange(100) % 2, 3.0, 1.0))
    rated = {name: values for name, values in log.items() if name != "label"} | {"rating": stars}
    by_rating = RankingData.of(Interactions.build(rated))
    assert (
        np.concatenate([part.labels for part in by_rating.parts]).tolist() == log["label"].tolist()
    )
    easier = RankingData.of(Interactions.build(rated), RankingSplit(positive_above=2.9))
    assert np.concatenate([part.labels for part in easier.parts]).tolist() == (stars > 2.9).tolist()
    other = RankingData.of(Interactions.build({**log, "rating": 5 - stars}))  # labels come first
    assert np.concatenate([part.labels for part in other.parts]).tolist() == log["label"].tolist()


BAD = {
    "neither": (lambda log: log.pop("label"), "neither labels nor ratings"),
    "unrated": (
        lambda log: log.update(rating=np.where(np.arange(50) > 47, np.nan, 1.0), label=None),
        r"row 48 has no rating \(2 such rows\)",
    ),
    "no test": (
        lambda log: log.update(split=np.where(np.arange(50) > 40, "validation", "train")),
        r"the test part of the log is empty \(50 rows in all\)",
    ),
    "no times": (lambda log: log.pop("timestamp"), "no row of the log has a timestamp"),
    "one moment": (
        lambda log: log.update(timestamp=np.full(50, 7)),
        "the validation part of the log is empty",
    ),
}


@pytest.mark.parametrize(("change", "expected"), BAD.values(), ids=BAD)
def test_logs_that_are_refused(change, expected):
    log = columns(50)
    change(log)
    given_columns = {name: values for name, values in log.items() if values is not None}
    with pytest.raises(DataError, match=expected):
        RankingData.of(Interactions.build(given_columns))


def test_times_that_span_too_much_keep_their_order():
    log = columns(50)
    near = RankingData.of(Interactions.build(log))
    log["timestamp"] = np.where(np.arange(50) > 48, 2**60, log["timestamp"])
    far = RankingData.of(Interactions.build(log))
    for one, two in zip(near.parts, far.parts, strict=True):
        assert one.histories(9).rows.tolist() == two.histories(9).rows.tolist()


def test_a_split_column_that_was_asked_for_has_to_be_there():
    with pytest.raises(DataError, match="no split column"):
        RankingData.of(Interactions.build(columns(50)), RankingSplit(split="stored"))
    with pytest.raises(DataError, match="there are no interactions"):
        RankingData.of(pa.table({"user_id": [], "item_id": []}))


# --- a piece at a time, in memory or on disk ---


def arrays(data):
    """Everything that a log's data holds."""
    found = {
        "users": data.vocabulary.users,
        "items": data.vocabulary.items,
        **data.vocabulary.columns,
    }
    for name, part in zip(PARTS, data.parts, strict=True):
        for field in ("users", "items", "labels", "columns", "ends"):
            found[f"{name} {field}"] = getattr(part, field)
        for field in ("rows", "first", "end"):
            found[f"{name} positives {field}"] = getattr(part.positives, field)
    return found


def require_same(one, other):
    first, second = arrays(one), arrays(other)
    assert first.keys() == second.keys()
    for name in first:
        if isinstance(first[name], pa.Array):
            assert first[name].equals(second[name]), name
        else:
            assert np.asarray(first[name]).dtype == np.asarray(second[name]).dtype, name
            assert np.array_equal(first[name], second[name]), name
    assert one.fingerprint() == other.fingerprint()


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr("mmq.data._log.PIECE", 37)
    monkeypatch.setattr("mmq.ranking._parts.BLOCK", 11)
    monkeypatch.setattr("mmq.ranking._data.BLOCK", 13)


def wide_log():
    """With further columns, nulls among them, and training rows without time."""
    log = columns(600)
    rng = np.random.default_rng(5)
    parts = np.array(PARTS)[np.minimum(np.arange(600) // 200, 2)]
    unknown = (parts == "train") & (rng.random(600) < 0.4)
    return pa.table(
        {
            **log,
            "timestamp": pa.array(log["timestamp"], mask=unknown),
            "split": parts,
            "device": pa.array(
                [None if each == 3 else f"d{each}" for each in rng.integers(0, 4, 600)]
            ),
            "hour": rng.integers(0, 24, 600),
        }
    )


FURTHER = ("device", "hour")


def test_pieces_of_a_file_are_the_file(tmp_path, monkeypatch, request):
    whole = RankingData.of(wide_log(), columns=FURTHER)
    assert whole.vocabulary.columns["device"].null_count == 0
    assert sorted(whole.vocabulary.columns["device"].to_pylist()) == ["", "d0", "d1", "d2"]
    request.getfixturevalue("small_pieces")
    pq.write_table(wide_log(), tmp_path / "log.parquet", row_group_size=100)
    pieces = LogReader.open(tmp_path / "log.parquet", columns=FURTHER)
    assert pieces.rows == 600
    sizes = [len(log) for log, _ in pieces]
    assert max(sizes) <= 37
    assert sum(sizes) == 600
    require_same(RankingData.of(pieces), whole)
    require_same(RankingData.of(LogReader.of(wide_log(), FURTHER)), whole)


def test_on_disk_the_numbers_are_those_of_memory(tmp_path, small_pieces):
    whole = RankingData.of(wide_log(), columns=FURTHER)
    spooled = RankingData.of(wide_log(), columns=FURTHER, spool=tmp_path)
    require_same(spooled, whole)
    assert {type(spooled.train.users), type(spooled.test.ends)} == {np.memmap}
    held = sum(part.users.nbytes + part.ends.nbytes for part in spooled.parts)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > held
    taken = spooled.test.take(np.array([3, 1]))
    assert type(taken.users) is np.ndarray
    assert taken.users.tolist() == whole.test.users[[3, 1]].tolist()


def test_the_fingerprint_tells_logs_apart(small_pieces):
    """Of what is learned from; the test part has no say."""
    log = wide_log()
    marks = {RankingData.of(log, columns=FURTHER).fingerprint()}
    for name, row, value in (
        ("label", 1, None),
        ("item_id", 2, "item-9"),
        ("user_id", 3, 101),
        ("hour", 4, 99),
        ("label", 300, None),
    ):
        values = log.column(name).to_pylist()
        values[row] = 1 - values[row] if value is None else value
        place = log.column_names.index(name)
        changed = log.set_column(place, name, pa.array(values, log.schema.field(name).type))
        marks.add(RankingData.of(changed, columns=FURTHER).fingerprint())
    assert len(marks) == 6
    labels = log.column("label").to_pylist()
    labels[-1] = 1 - labels[-1]
    changed = log.set_column(3, "label", pa.array(labels, pa.int8()))
    assert RankingData.of(changed, columns=FURTHER).fingerprint() in marks


def test_other_formats_and_names(tmp_path):
    log = wide_log().drop_columns(["split", "timestamp"]).append_column(
        "timestamp", pa.array(columns(600)["timestamp"])
    )  # fmt: skip
    whole = RankingData.of(log, columns=FURTHER)
    renamed = log.rename_columns(["who", "what", "clicked", *FURTHER, "when"])
    names = {"user_id": "who", "item_id": "what", "label": "clicked", "timestamp": "when"}
    pcsv.write_csv(renamed, tmp_path / "log.csv")
    pq.write_table(renamed, tmp_path / "log.parquet")
    for file in ("log.csv", "log.parquet"):
        require_same(RankingData.of(LogReader.open(tmp_path / file, names, FURTHER)), whole)


def test_categories_of_pandas_are_plain_values(tmp_path):
    """A file may hold numbers with a list of the values they stand for."""
    log = wide_log()
    coded = log
    for name in ("item_id", "split", "device"):
        place = coded.column_names.index(name)
        coded = coded.set_column(place, name, coded.column(name).dictionary_encode())
    pq.write_table(coded, tmp_path / "log.parquet")
    assert pa.types.is_dictionary(pq.read_schema(tmp_path / "log.parquet").field("device").type)
    whole = RankingData.of(log, columns=FURTHER)
    require_same(RankingData.of(LogReader.open(tmp_path / "log.parquet", columns=FURTHER)), whole)
    require_same(RankingData.of(coded, columns=FURTHER), whole)


def test_wrong_rows_are_named_in_their_piece(tmp_path, small_pieces):
    log = wide_log()
    labels = log.column("label").to_numpy().copy()
    labels[80] = 2
    pq.write_table(log.set_column(3, "label", pa.array(labels)), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"log\.parquet, rows from 74 on: row 6 has the label 2"):
        RankingData.of(LogReader.open(tmp_path / "log.parquet"))
    stars = np.where(np.arange(600) == 90, np.nan, 4.0)
    rated = log.drop_columns(["label"]).append_column("rating", pa.array(stars))
    with pytest.raises(DataError, match="row 90 has no rating"):
        RankingData.of(rated)


def test_files_and_columns_that_are_refused(tmp_path):
    path = tmp_path / "log.parquet"
    with pytest.raises(DataError, match="there is no table at"):
        LogReader.open(path)
    pq.write_table(wide_log(), path)
    for log in (lambda c: LogReader.open(path, columns=c), lambda c: LogReader.of(wide_log(), c)):
        with pytest.raises(DataError, match="has no column 'devise'; did you mean 'device'"):
            log(["devise"])
        with pytest.raises(DataError, match=r"the column 'label' of .* tells what was liked"):
            log(["hour", "label"])
    with pytest.raises(DataError, match="tells what was liked"):
        LogReader.open(path, {"rating": "hour"}, ["hour"])
    with pytest.raises(DataError, match=r"no column 'clicked'.*--label-column NAME"):
        LogReader.open(path, {"label": "clicked"})
    nested = wide_log().append_column("tags", pa.array([["a"]] * 600))
    with pytest.raises(DataError, match="the column 'tags' is of type list"):
        RankingData.of(nested, columns=["tags"])
    blobs = wide_log().append_column("blob", pa.array([b"\xff\xfe"] * 600))
    with pytest.raises(DataError, match="the column 'blob' is of type binary and cannot be read"):
        RankingData.of(blobs, columns=["blob"])
    for log in (
        LogReader.open(path, columns=["hour", "hour"]),
        LogReader.of(wide_log(), ["hour"] * 2),
    ):
        assert log.columns == ("hour",)
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(FormatError, match="not a whole Parquet file"):
        LogReader.open(path)
    path.write_bytes(whole)
    pieces = LogReader.open(path)
    path.write_bytes(whole[:4] + bytes(2000) + whole[2004:])  # the end still says what there is
    with pytest.raises(FormatError, match="truncated or damaged"):
        RankingData.of(pieces)


def test_a_log_of_one_row_a_part():
    rows = [(0, 0, 1, 0, 1), (0, 1, 0, 1, 2), (0, 2, 1, 2, 3)]
    found = rows_of(RankingData.of(log_of(rows)))
    assert [part[0][3] for part in found] == [[], ["i0"], ["i0"]]


def test_the_shop_is_what_it_says():
    data = RankingData.of(Interactions.build(columns()))
    assert sum(len(part) for part in data.parts) == ROWS
    known, *held = (set(data.vocabulary.items.take(part.items).to_pylist()) for part in data.parts)
    assert known == set(names(OLD))
    assert held[0] | held[1] == set(names())

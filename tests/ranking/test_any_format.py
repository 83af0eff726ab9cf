"""One log gives one model, whatever the format of its file and the order of its rows."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranking_shop import SMALL, columns, table

from mmq.data._log import LogReader
from mmq.ranking import PPNet, RankingData, RankingSplit, evaluate_ranking
from mmq.ranking._numbers import Kind

FURTHER = ("size", "price", "code", "version", "count", "whole")
SHUFFLED = RankingSplit(ties="shuffled")


def written(folder, log):
    """A log in every format, by several writers."""
    pq.write_table(log, folder / "a.parquet")
    rows = list(zip(*log.to_pydict().values(), strict=True))
    for name, options in (("b.csv", {}), ("c.tsv", {"delimiter": "\t"})):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file, **options)
            writer.writerow(log.column_names)
            writer.writerows(rows)
    pcsv.write_csv(log, folder / "d.csv")
    lines = [json.dumps(row) for row in log.to_pylist()]
    (folder / "e.jsonl").write_text("\n".join(lines))
    return sorted(folder.iterdir())


def columns_of(draw, name, values, rows):
    return draw(
        st.lists(st.one_of(st.none(), values), min_size=rows, max_size=rows).map(list), name
    )


@given(draw=st.data(), rows=st.integers(12, 30))
def test_one_log_in_every_format(tmp_path_factory, draw, rows):
    half = st.sampled_from([0.0, 0.5, 1.0])
    log = pa.table(
        {
            "user_id": pa.array([f"u{row % 3}" for row in range(rows)]),
            "item_id": pa.array([row % 5 for row in range(rows)]),
            "timestamp": pa.array([1_600_000_000 + row for row in range(rows)]),
            "label": pa.array([row % 2 for row in range(rows)]),
            "size": pa.array(columns_of(draw.draw, "size", half, rows), pa.float64()),
            "price": pa.array(
                columns_of(draw.draw, "price", st.integers(0, 99999).map(lambda n: n / 100), rows),
                pa.float64(),
            ),
            "code": pa.array(
                columns_of(draw.draw, "code", st.sampled_from(["001", "01", "1", "7"]), rows),
                pa.string(),
            ),
            "version": pa.array(
                columns_of(draw.draw, "version", st.sampled_from(["1.1", "1.10", "2.0"]), rows),
                pa.string(),
            ),
            "count": pa.array(columns_of(draw.draw, "count", st.integers(0, 3), rows), pa.int64()),
            "whole": pa.array(columns_of(draw.draw, "whole", st.just(2.0), rows), pa.float64()),
        }
    )
    paths = written(tmp_path_factory.mktemp("formats"), log)
    found = {path.name: RankingData.of(LogReader.open(path, None, FURTHER)) for path in paths}
    first = found["a.parquet"]
    for name, data in found.items():
        assert tuple(data.vocabulary.numbers) == tuple(first.vocabulary.numbers), name
        assert data.fingerprint() == first.fingerprint(), name


@pytest.mark.parametrize(
    ("texts", "numeric"),
    [
        (["0", "0.5", "1"], True),
        (["0.0", "0.5", "1.0"], True),
        (["9.90", "12.00", "-3.10"], True),
        (["1e-05", "2.5", " 3.5 "], True),
        ([".5", "2"], True),
        (["0.5", "nan", "NaN", "", None], True),
        (["1.1", "1.10"], False),
        (["1.50", "2"], False),
        (["001", "0.5"], False),
        (["1", "2"], False),
        (["1.0", "2.0"], False),
        (["0.5", "tall"], False),
        (["0.5", "inf"], False),
        (["0,5", "1"], False),
        ([None, ""], False),
    ],
    ids=str,
)
def test_which_texts_are_numbers(texts, numeric):
    for pieces in ([texts], [[each] for each in texts], [[each] for each in texts[::-1]]):
        kind = Kind("x", None)
        for piece in pieces:
            kind.add(pa.array(piece, pa.string()))
        assert kind.numeric == numeric


def sitting(seed):
    """A log whose users do all in a few moments, its rows in some order."""
    rng = np.random.default_rng(0)
    given = {**columns(), "timestamp": 1_700_000_000 + np.arange(2000) // 40}
    given |= {"place": rng.integers(0, 5, 2000), "size": rng.integers(0, 3, 2000) / 2}
    order = np.arange(2000) if seed is None else np.random.default_rng(seed).permutation(2000)
    return pa.table({name: values[order] for name, values in given.items()})


def test_shuffled_rows_change_nothing_where_ties_are_shuffled(monkeypatch, tmp_path):
    further = ("place", "size")
    whole = RankingData.of(sitting(None), SHUFFLED, further)
    models = []
    for seed in (1, 2):
        data = RankingData.of(sitting(seed), SHUFFLED, further)
        assert data.fingerprint() == whole.fingerprint()
        made = PPNet(**SMALL)
        made.fit(data, table())
        models.append(evaluate_ranking(made, data).figures)
    assert models[0] == models[1]
    monkeypatch.setattr("mmq.data._log.PIECE", 77)
    monkeypatch.setattr("mmq.ranking._parts.BLOCK", 50)
    on_disk = RankingData.of(sitting(3), SHUFFLED, further, tmp_path)
    assert on_disk.fingerprint() == whole.fingerprint()


def test_the_order_of_rows_says_what_came_first_where_ties_are_of_the_file():
    def liked_last(log):
        packed = RankingData.of(log).test.histories(1)
        return packed.rows.tolist(), packed.lengths.tolist()

    one, other = sitting(None), sitting(None).take(np.arange(2000)[::-1])
    whole = [RankingData.of(log).test.histories(2000) for log in (one, other)]
    assert sorted(whole[0].lengths) == sorted(whole[1].lengths)  # what is known is the same
    assert liked_last(one) != liked_last(other)  # and only which of it is the latest is not


def test_rows_that_come_twice_are_counted_and_left_out():
    log = sitting(None)
    names = log.column_names
    rows = set(zip(*log.to_pydict().values(), strict=True))
    once = pa.table(dict(zip(names, map(list, zip(*sorted(rows), strict=True)), strict=True)))
    twice = pa.concat_tables([once, once.slice(100, 300)])
    further = ("place", "size")
    for table_, repeated in ((log, 2000 - len(rows)), (once, 0), (twice, 300)):
        assert RankingData.of(table_, None, further).repeated == repeated
    left = RankingData.of(twice, RankingSplit(dedupe=True), further)
    assert left.repeated == 300
    assert left.fingerprint() == RankingData.of(once, None, further).fingerprint()
    place = names.index("place")
    other = once.set_column(place, "place", pa.array([9] * len(once)))
    assert RankingData.of(pa.concat_tables([once, other]), None, further).repeated == 0

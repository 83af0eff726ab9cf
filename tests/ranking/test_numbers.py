"""Columns of numbers are features by their size: standardised, the missing value learned."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranking_shop import SMALL, columns, table

from mmq.data._log import LogReader
from mmq.errors import DataError
from mmq.ranking import PPNet, Ranker, RankingData, evaluate_ranking
from mmq.ranking._numbers import FURTHEST, as_numbers, scales

ROWS = 2000


def log_of(**further):
    return pa.table({**columns(), **further})


def heavy(seed=0):
    """A weight that tells half of the labels, of which a tenth is missing: all values differ."""
    rng = np.random.default_rng(seed)
    weights = 70 + 12 * rng.normal(size=ROWS)
    weights[rng.random(ROWS) < 0.1] = np.nan
    return weights


def by_weight(weights):
    rng = np.random.default_rng(1)
    told = np.where(np.isnan(weights), 0.5, np.where(weights > 70, 0.9, 0.1))
    return (rng.random(ROWS) < told).astype(np.int8)


def test_a_column_of_fractions_is_one_of_numbers():
    weights = heavy()
    data = RankingData.of(
        LogReader.of(log_of(weight=weights, hour=np.arange(ROWS) % 24), ("weight", "hour"))
    )
    assert tuple(data.vocabulary.numbers) == ("weight",)
    assert list(data.vocabulary.columns) == ["hour"]
    given = weights.astype(np.float32)[:, None]
    found = np.concatenate([np.asarray(part.numbers) for part in data.parts])
    np.testing.assert_array_equal(found, given)  # the log is in the order of time


@pytest.mark.parametrize(
    ("values", "numeric"),
    [
        (pa.array(np.arange(ROWS) % 7 + 0.0), False),  # codes, as they are stored beside gaps
        (pa.array(np.where(np.arange(ROWS) % 9, np.arange(ROWS) % 7, np.nan)), False),
        (pa.array(np.where(np.arange(ROWS) < ROWS - 1, 1.0, 1.5)), True),  # told by the last row
        (pa.array(np.arange(ROWS) / 4).cast(pa.decimal128(12, 2)), True),
        (pa.array(np.arange(ROWS) / 4, pa.float32()), True),
        (pa.array(["1.5"] * ROWS), True),
        (pa.array(np.arange(ROWS)), False),
    ],
    ids=str,
)
def test_which_columns_are_of_numbers(values, numeric):
    data = RankingData.of(LogReader.of(log_of(x=values), ("x",)))
    assert tuple(data.vocabulary.numbers) == (("x",) if numeric else ())
    if pa.types.is_floating(values.type) and not numeric:
        known = data.vocabulary.columns["x"].to_pylist()
        assert {float(code) for code in set(known) - {""}} == set(range(7))


@pytest.mark.parametrize(
    ("given", "named", "settled", "numeric"),
    [
        (["1.5", " 2 ", "", None] * (ROWS // 4), ["x"], False, ("x",)),
        (list(range(ROWS)), ["x"], False, ("x",)),
        ([1.5, 2.0] * (ROWS // 2), [], True, ()),
        ([1.0, 2.0] * (ROWS // 2), ["x"], True, ("x",)),
    ],
)
def test_columns_may_be_named(given, named, settled, numeric):
    pieces = LogReader.of(log_of(x=given), ("x",)).with_numeric(named, settled)
    assert tuple(RankingData.of(pieces).vocabulary.numbers) == numeric


NUMBERS = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, width=32)), min_size=10, max_size=60)


@given(NUMBERS)
def test_the_scale_is_that_of_the_training_rows(values):
    rows = len(values)
    log = {
        "user_id": [1] * rows,
        "item_id": [2] * rows,
        "timestamp": range(rows),
        "label": [row % 2 for row in range(rows)],
        "x": pa.array(values, pa.float64()),
    }
    data = RankingData.of(LogReader.of(pa.table(log), ("x",)).with_numeric(["x"]))
    scale = scales(data.train, ["x"])["x"]
    known = [value for value in values[: len(data.train)] if value is not None]
    mean = sum(known) / len(known) if known else 0.0
    assert scale.mean == pytest.approx(mean, rel=1e-9, abs=1e-9)
    sd = (sum((value - mean) ** 2 for value in known) / len(known)) ** 0.5 if known else 0.0
    assert scale.sd == pytest.approx(sd if sd > 1e-9 * abs(mean) else 1.0, rel=1e-6)
    applied = scale.apply(np.array([scale.mean, np.nan, 1e30]))
    assert (applied[0], applied[2]) == (0, FURTHEST)
    assert np.isnan(applied[1])


def test_what_cannot_be_read_is_refused():
    with pytest.raises(DataError, match=r"the column 'x' \(string\) cannot be read as numbers"):
        as_numbers(pa.array(["1", "tall"]), "x")
    with pytest.raises(DataError, match="the column 'x' holds an infinite number"):
        as_numbers(pa.array([1.0, np.inf]), "x")


def test_a_ranker_learns_from_them_is_saved_with_them_and_needs_them(tmp_path):
    weights = heavy()
    log = log_of(label=by_weight(weights), weight=weights)
    data = RankingData.of(LogReader.of(log, ("weight",)))
    made = PPNet(**{**SMALL, "epochs": 6})
    made.fit(data, table())
    told = evaluate_ranking(made, data).figures["auc"]
    blind = PPNet(**{**SMALL, "epochs": 6})
    plain = RankingData.of(LogReader.of(log))
    blind.fit(plain, table())
    assert told > 0.8 > 0.6 > evaluate_ranking(blind, plain).figures["auc"]
    assert made.network.numbers[0].shape == (3, SMALL["embedding_dim"])

    made.save(tmp_path / "r")
    loaded = Ranker.load(tmp_path / "r")
    np.testing.assert_array_equal(loaded.predict(data.test, data), made.predict(data.test, data))
    heavier, lighter, unknown = loaded.score(
        101, [], ["item-1"] * 3, {"weight": [95.0, 45.0, None]}
    )
    assert heavier > unknown > lighter
    with pytest.raises(DataError, match="trained with the column 'weight', which was not read"):
        loaded.predict(plain.test, plain)
    whole = RankingData.of(LogReader.of(log_of(weight=np.full(ROWS, 80.0)), ("weight",)))
    with pytest.raises(
        DataError, match="'weight' was one of numbers in training and is one of cat"
    ):
        loaded.predict(whole.test, whole)
    named = LogReader.of(log_of(weight=np.full(ROWS, 80.0)), ("weight",)).with_numeric(
        ["weight"], True
    )
    again = RankingData.of(named)
    assert len(loaded.predict(again.test, again)) == len(again.test)


def test_in_small_pieces_all_is_the_same(monkeypatch):
    log = log_of(weight=heavy(), code=np.arange(ROWS) % 5 + 0.0)
    whole = RankingData.of(LogReader.of(log, ("weight", "code")))
    monkeypatch.setattr("mmq.data._log.PIECE", 77)
    pieces = RankingData.of(LogReader.of(log, ("weight", "code")))
    assert pieces.fingerprint() == whole.fingerprint()
    assert tuple(pieces.vocabulary.numbers) == tuple(whole.vocabulary.numbers) == ("weight",)

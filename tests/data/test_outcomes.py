from __future__ import annotations

import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq import Interactions
from mmq.data._log import read_interactions
from mmq.data._outcomes import as_labels, as_ratings, as_splits, means_another
from mmq.errors import DataError, DataWarning
from mmq.ranking import RankingData, RankingSplit

STARS = st.lists(st.integers(0, 100), min_size=1, max_size=30)


def kinds_of(tenths):
    exact = [each / 10 for each in tenths]
    return {
        "double": pa.array(exact),
        "float": pa.array(exact, pa.float32()),
        "half": pa.array(np.array(exact, np.float16)),
        "decimal": pa.array([decimal.Decimal(each) / 10 for each in tenths], pa.decimal128(9, 1)),
        "text": pa.array([str(each) for each in exact]),
        "categories": pa.array([str(each) for each in exact]).dictionary_encode(),
    }


@given(STARS, st.integers(0, 100))
def test_a_rating_at_the_threshold_does_not_count_whatever_its_type(tenths, threshold):
    expected = [place for place, each in enumerate(tenths) if each > threshold]
    for name, ratings in kinds_of(tenths).items():
        log = Interactions.build(
            {"user_id": [1] * len(tenths), "item_id": range(len(tenths)), "rating": ratings}
        )
        found = log.positives(threshold / 10).item_ids.to_pylist()
        assert found == expected, name


def test_a_ranker_counts_the_same_as_liked():
    tenths = [1, 43, 44, 42, 43, 50, 1, 45, 43, 44]
    for name, ratings in kinds_of(tenths).items():
        log = {"user_id": [1] * 10, "item_id": range(10), "timestamp": range(10), "rating": ratings}
        data = RankingData.of(Interactions.build(log), RankingSplit(positive_above=4.3))
        labels = np.concatenate([part.labels for part in data.parts])
        assert labels.tolist() == [each > 43 for each in tenths], name


def test_what_is_no_number_is_missing_and_counted():
    with pytest.warns(DataWarning, match="2 values of the column rating are no number, such as '—"):
        found = as_ratings(pa.array(["4.5", "—", None, "", " 3 ", "from 9.99", "nan"]))
    assert found.to_pylist() == [4.5, None, None, None, 3.0, None, None]
    with pytest.raises(DataError, match=r"no value is a number .*--rating-column none"):
        as_ratings(pa.array(["PG-13", "R"]))


@pytest.mark.parametrize(
    "values",
    [[0, 1], [False, True], [0.0, 1.0], ["0", "1"], ["False", "True"], ["false", "true"]],
)
def test_labels_of_every_type(values):
    assert as_labels(pa.array(values)).to_pylist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "values", "other"),
    [
        ("rating", ["PG-13", "R"], True),
        ("rating", ["PG-13", "4"], False),
        ("rating", [4, 5], False),
        ("label", [0, 1, 2, 3], True),
        ("label", ["sports", "news"], True),
        ("label", [-1, 1], False),
        ("label", [0, 1, None], False),
        ("split", ["A", "B"], True),
        ("split", ["train", "val"], False),
        ("split", ["train", "A"], True),
    ],
)
def test_columns_whose_name_means_another_thing(tmp_path, name, values, other):
    assert means_another(name, pa.array(values)) == other


def test_a_column_of_another_meaning_is_left_alone_unless_it_is_named(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,timestamp,label,rating\n1,2,3,7,R\n1,3,4,8,PG\n")
    with pytest.warns(DataWarning, match="holds something else than"):
        log = read_interactions(path)
    assert log.table.column_names == ["user_id", "item_id", "timestamp"]
    with pytest.raises(DataError, match="row 0 has the label '7'"):
        read_interactions(path, {"label": "label", "rating": "none"})
    quiet = read_interactions(path, {"label": "none", "rating": "none"})
    assert quiet.table.column_names == ["user_id", "item_id", "timestamp"]


def test_labels_that_are_missing_are_no_other_meaning():
    for values in (pa.array([1.0, np.nan]), pa.array(["1", "nan"]), pa.array([1, None])):
        assert not means_another("label", values)
        with pytest.raises(DataError, match="row 1 has the label None"):
            as_labels(values)


def test_parts_may_be_written_in_capitals():
    values = pa.array([" Train", "TEST", "Val"])
    assert not means_another("split", values)
    assert as_splits(values).to_pylist() == ["train", "test", "validation"]

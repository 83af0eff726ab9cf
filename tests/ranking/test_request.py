import numpy as np
import pytest

from mmq.errors import DataError
from mmq.ranking._request import request


def test_every_item_is_shown_to_the_user_after_the_history():
    known, impressions = request(
        7, ["a", "b"], ["b", "c", "d"], {"hour": 3, "place": ["x", "y", "x"]}
    )
    assert known.users.to_pylist() == [7]
    ids = known.items.to_pylist()
    assert [ids[place] for place in impressions.items] == ["b", "c", "d"]
    packed = impressions.histories(9)
    assert [ids[place] for place in packed.rows] == ["a", "b"] * 3
    assert packed.lengths.tolist() == [2, 2, 2]
    places = known.columns["place"].to_pylist()
    assert [places[row] for row in impressions.columns[:, 1]] == ["x", "y", "x"]
    hours = known.columns["hour"].to_pylist()
    assert [hours[row] for row in impressions.columns[:, 0]] == [hours[0]] * 3


def test_a_user_without_history():
    _, impressions = request("new", [], ["a"], {})
    assert impressions.histories(9).lengths.tolist() == [0]
    assert impressions.columns.shape == (1, 0)


def test_nothing_to_score():
    with pytest.raises(DataError, match="no items were given to be scored; give at least one"):
        request(7, ["a"], [], {})


def test_a_column_of_another_length():
    with pytest.raises(DataError, match="'place' has 2 values for 3 items"):
        request(7, [], ["a", "b", "c"], {"place": np.array(["x", "y"])})

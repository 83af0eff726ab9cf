"""Item-kNN by plain loops, and what a folder of it has to hold."""

import itertools
import math

import numpy as np
import pytest

from mmq.errors import FormatError
from mmq.recommenders import ItemKNN
from mmq.testing import tiny_retrieval_data

SETTINGS = {"shrinkage": 3.0, "following": 2.0, "decay": 0.5}


def fitted(**changes):
    made = ItemKNN(**{**SETTINGS, **changes})
    made.fit(tiny_retrieval_data())
    return made


def sequences(histories):
    packed = histories.pack()
    return [each.tolist() for each in np.split(packed.rows, np.cumsum(packed.lengths)[:-1])]


def similarity(train, i, j):
    both = sum(i in one and j in one for one in train) if i != j else 0
    after = sum(pair == (i, j) for one in train for pair in itertools.pairwise(one))
    users = [sum(item in one for one in train) for item in (i, j)]
    return (both + 2.0 * after) / (math.sqrt(users[0] * users[1]) + 3.0)


@pytest.mark.parametrize("neighbours", [100, 3])
def test_scores_are_those_of_plain_loops(neighbours):
    data = tiny_retrieval_data()
    train, items = sequences(data.train), len(data.item_ids)
    similar = [[similarity(train, i, j) for j in range(items)] for i in range(items)]
    for row in similar:
        least = sorted(range(items), key=lambda j: (-row[j], j))[neighbours:]
        row[:] = [0.0 if j in least else value for j, value in enumerate(row)]
    popularity = data.popularity()
    cases = data.test.take(slice(0, 5))
    scores = fitted(neighbours=neighbours).score_block(cases.histories).tolist()
    for history, found in zip(sequences(cases.histories), scores, strict=True):
        expected = [
            sum(similar[i][j] * 0.5**age for age, i in enumerate(reversed(history)))
            + 1e-6 * popularity[j] / popularity.max()
            for j in range(items)
        ]
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_blocks_of_items_make_no_difference(monkeypatch):
    whole = fitted(neighbours=4).tensors()
    monkeypatch.setattr("mmq.recommenders._item_knn._ROWS", 7)
    for name, tensor in fitted(neighbours=4).tensors().items():
        np.testing.assert_array_equal(tensor, whole[name])


def test_tensors_that_are_not_its_own(tmp_path):
    made = fitted()
    tensors = made.tensors()
    with pytest.raises(FormatError, match="lacks the tensor 'items'"):
        made.restore({n: t for n, t in tensors.items() if n != "items"}, tmp_path)
    with pytest.raises(FormatError, match="holds a tensor that is not known, 'more'"):
        made.restore({**tensors, "more": tensors["items"]}, tmp_path)
    for name, wrong in (("items", tensors["items"] + 30), ("starts", tensors["starts"][:-1])):
        with pytest.raises(FormatError, match="not those of its 30 items"):
            made.restore({**tensors, name: wrong}, tmp_path)

"""EASE against its definition, where it stops, and what a folder of it has to hold."""

import numpy as np
import pytest

from mmq.errors import DataError, FormatError
from mmq.recommenders import EASE
from mmq.testing import tiny_retrieval_data


def fitted(**changes):
    made = EASE(**{"penalty": 3.0, "decay": 0.5, **changes})
    made.fit(tiny_retrieval_data())
    return made


def test_every_item_is_the_ridge_regression_on_all_others():
    data, made = tiny_retrieval_data(), fitted()
    users, rows = data.positives()
    met = np.zeros((len(data.train), len(data.item_ids)))
    met[users, rows] = 1
    weights = np.zeros((30, 30))
    for item in range(30):
        others = np.delete(np.arange(30), item)
        x = met[:, others]
        weights[others, item] = np.linalg.solve(x.T @ x + 3.0 * np.eye(29), x.T @ met[:, item])
    cases = data.test.take(slice(0, 6))
    scores = made.score_block(cases.histories).numpy()
    for number, found in enumerate(scores):
        own = cases.take(slice(number, number + 1)).histories.pack().rows
        expected = sum(weights[i] * 0.5**age for age, i in enumerate(own[::-1]))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_says_at_which_size_it_stops():
    made = EASE(most_items=27)
    with pytest.raises(DataError, match=r"28 items .* more than the 27 at which it stops; use"):
        made.fit(tiny_retrieval_data())
    assert fitted(most_items=28).score_block(tiny_retrieval_data().test.histories).any()


def test_tensors_that_are_not_its_own(tmp_path):
    made = fitted()
    tensors = made.tensors()
    for name, wrong in (("rows", tensors["rows"][:-1]), ("weights", tensors["weights"][1:])):
        with pytest.raises(FormatError, match="not those of its items"):
            made.restore({**tensors, name: wrong}, tmp_path)

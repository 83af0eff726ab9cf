"""Transitions between codes against their definition, and what a folder of them has to hold."""

import itertools

import numpy as np
import pytest

from mmq.errors import DataError, FormatError
from mmq.recommenders import CodeTransitions
from mmq.testing import tiny_retrieval_data


def fitted(**changes):
    made = CodeTransitions(**{"smoothing": 3.0, "decay": 0.5, **changes}, device="cpu")
    made.fit(tiny_retrieval_data())
    return made


def histories_of(sequences):
    packed = sequences.pack()
    return [each.tolist() for each in np.split(packed.rows, np.cumsum(packed.lengths)[:-1])]


def test_scores_are_those_of_plain_loops():
    data, made = tiny_retrieval_data(), fitted()
    codes, sizes = data.ids.codes, data.ids.codebook_sizes
    counts = [np.zeros((size, size)) for size in sizes]
    for history in histories_of(data.train):
        for before, after in itertools.pairwise(history):
            for position in range(len(sizes)):
                counts[position][codes[before, position], codes[after, position]] += 1
    cases = data.test.take(slice(0, 6))
    scores = made.score_block(cases.histories).numpy()
    for number, history in enumerate(histories_of(cases.histories)):
        weights = 0.5 ** np.arange(len(history))[::-1]
        expected = np.zeros(len(codes))
        for position, size in enumerate(sizes):
            n = counts[position]
            share = (n.sum(0) + 1 / size) / (n.sum() + 1)
            likely = np.zeros(size)
            for weight, item in zip(weights, history, strict=True):
                code = codes[item, position]
                likely += weight * (n[code] + 3 * share) / (n[code].sum() + 3)
            assert likely.sum() == pytest.approx(weights.sum(), rel=1e-3)
            expected += np.log(likely / weights.sum())[codes[:, position]]
        np.testing.assert_allclose(scores[number], expected, rtol=1e-4)


def test_items_that_share_an_id_score_alike():
    data, made = tiny_retrieval_data(), fitted()
    scores = made.score_block(data.test.histories).numpy()
    shared = data.ids.lookup(data.ids.of(data.item_ids[0].as_py()))
    rows = [data.item_ids.index(each).as_py() for each in shared]
    assert (scores[:, rows] == scores[:, :1]).all()


def test_it_needs_ids():
    with pytest.raises(DataError, match="code-transitions reads semantic IDs and was given none"):
        CodeTransitions().fit(tiny_retrieval_data()._replace(ids=None))


def test_tensors_that_are_not_its_own(tmp_path):
    made = fitted()
    tensors = made.tensors()
    with pytest.raises(FormatError, match="not those of its codebooks"):
        made.restore({**tensors, "transitions_0": tensors["transitions_0"][1:]}, tmp_path)
    with pytest.raises(FormatError, match="lacks the tensor 'transitions_0'"):
        made.restore({n: each for n, each in tensors.items() if n != "transitions_0"}, tmp_path)

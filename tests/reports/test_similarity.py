from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from mmq.data import Catalogue
from mmq.reports._similarity import ANY, shared_code_similarity, unexplained

RNG = np.random.default_rng(0)
TEXT, IMAGE = RNG.normal(size=(30, 4)) + 0.5, RNG.normal(size=(30, 3))
IMAGE[::7] = np.nan
CODES = RNG.integers(0, 3, size=(30, 3))
SAMPLE = Catalogue.build(range(30), {"text": TEXT, "image": IMAGE})


def slowly(matrix: np.ndarray, positions: list[int] | None) -> float:
    """Mean cosine over ordered pairs, once for each code shared (or once a pair)."""
    cosines = []
    for a, b in permutations(range(len(matrix)), 2):
        if np.isnan(matrix[[a, b]]).any():
            continue
        cosine = matrix[a] @ matrix[b] / np.linalg.norm(matrix[a]) / np.linalg.norm(matrix[b])
        shared = 1 if positions is None else int(np.sum(CODES[a, positions] == CODES[b, positions]))
        cosines += [cosine] * shared
    return float(np.mean(cosines))


def test_shared_code_similarity_like_a_plain_loop() -> None:
    groups = {"shared": [0, 2], "text": [1]}
    table = shared_code_similarity(SAMPLE, CODES, groups)
    assert list(table) == [ANY, "shared", "text"]
    for modality, matrix in (("text", TEXT), ("image", IMAGE)):
        assert table[ANY][modality] == pytest.approx(slowly(matrix, None), abs=1e-5)
        for group, positions in groups.items():
            assert table[group][modality] == pytest.approx(slowly(matrix, positions), abs=1e-5)


def test_codes_that_no_two_items_share_say_nothing() -> None:
    table = shared_code_similarity(SAMPLE, np.arange(30)[:, None], {"a": [0]})
    assert np.isnan(table["a"]["text"])


class Mirror:
    """Decodes the rows it is given to fixed embeddings."""

    def decode(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        rows = codes[:, 0]
        return {"text": np.zeros((len(rows), 4)), "image": UNIT[rows]}


UNIT = np.nan_to_num(IMAGE / np.linalg.norm(IMAGE, axis=1, keepdims=True))


def test_unexplained() -> None:
    found = unexplained(SAMPLE, np.arange(30)[:, None], Mirror())
    unit = TEXT / np.linalg.norm(TEXT, axis=1, keepdims=True)
    lost = (unit**2).sum() / ((unit - unit.mean(axis=0)) ** 2).sum()
    assert found["text"] == pytest.approx(lost, rel=1e-5)
    assert found["image"] == pytest.approx(0, abs=1e-9)

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.errors import DataError
from mmq.semantic_ids import SemanticIDs, drift

SIZES = (2, 3)
ENTRIES = st.dictionaries(
    st.integers(0, 15), st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1
)


def build(entries: dict[int, tuple[int, int]]) -> SemanticIDs:
    return SemanticIDs.build(list(entries), list(entries.values()), SIZES)


@given(ENTRIES, ENTRIES)
def test_drift_agrees_with_plain_loops(
    old: dict[int, tuple[int, int]], new: dict[int, tuple[int, int]]
) -> None:
    common = [item for item in old if item in new]
    if not common:
        with pytest.raises(DataError, match="no item in common"):
            drift(build(old), build(new))
        return
    result = drift(build(old), build(new))
    assert result.common == len(common)
    assert (result.only_old, result.only_new) == (len(old) - len(common), len(new) - len(common))
    assert result.changed == pytest.approx(sum(old[i] != new[i] for i in common) / len(common))
    for position in range(2):
        count = sum(old[i][position] != new[i][position] for i in common)
        assert result.changed_positions[position] == pytest.approx(count / len(common))
    pairs = list(itertools.combinations(common, 2))
    assert result.apart == sum(old[a] == old[b] and new[a] != new[b] for a, b in pairs)
    assert result.together == sum(old[a] != old[b] and new[a] == new[b] for a, b in pairs)
    company = [
        {j for j in common if old[j] == old[i]} != {j for j in common if new[j] == new[i]}
        for i in common
    ]
    assert result.regrouped == pytest.approx(sum(company) / len(common))


def test_nothing_drifts_from_itself_and_renaming_codes_regroups_no_one() -> None:
    old = build({1: (0, 0), 2: (0, 0), 3: (1, 2)})
    still = drift(old, old)
    assert (still.changed, still.apart, still.together, still.regrouped) == (0, 0, 0, 0)
    renamed = drift(old, build({3: (0, 0), 2: (1, 1), 1: (1, 1)}))
    assert (renamed.changed, renamed.regrouped) == (1, 0)
    assert renamed.to_dict()["changed_positions"] == (1, 1)


def test_tables_that_cannot_be_compared() -> None:
    old = build({1: (0, 0)})
    with pytest.raises(DataError, match="2 and of 1 codes"):
        drift(old, SemanticIDs.build([1], [[0]], [2]))
    with pytest.raises(DataError, match="int64 and string"):
        drift(old, SemanticIDs.build(["1"], [[0, 0]], SIZES))

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.errors import DataError
from mmq.semantic_ids import SemanticIDs, TokenizerRef, build_manifest, drift

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


def made(by: str | None, codes: tuple[int, int] = (0, 0), **more: object) -> SemanticIDs:
    tokenizer = None if by is None else TokenizerRef(name="mmq", fingerprint=by, **more)  # type: ignore[typeddict-item]
    return SemanticIDs.build(
        [1, 2], [codes, (0, 0)], SIZES, build_manifest(SIZES, tokenizer=tokenizer)
    )


def test_codes_of_two_tokenizers_were_never_comparable() -> None:
    found = drift(made("aa"), made("bb", (1, 1)))
    assert not found.comparable
    assert found.changed is found.changed_positions is None
    assert found.caveat == (
        "the older table was made by tokenizer 'mmq' (aa), this one by 'mmq' (bb), so their codes "
        "were never comparable"
    )
    assert (found.apart, found.regrouped) == (1, 1)  # who shares an ID can be compared


def test_codebooks_of_other_sizes_were_never_comparable() -> None:
    for codes, sizes in (([[0]], [2]), ([[0, 1]], [2, 9])):
        found = drift(build({1: (0, 0)}), SemanticIDs.build([1], codes, sizes))
        assert (found.comparable, found.changed, found.regrouped) == (False, None, 0)
        assert "codebooks of 2, 3 codes, this one of 2" in str(found.caveat)


def test_one_tokenizer_and_those_fine_tuned_from_it_are_comparable() -> None:
    for old, new in (
        (made("aa"), made("aa", (1, 1))),
        (made("aa"), made("bb", (1, 1), tuned_from=["zz", "aa"])),
        (made("cc", tuned_from=["aa"]), made("bb", (1, 1), tuned_from=["aa"])),
    ):
        found = drift(old, new)
        assert (found.comparable, found.caveat, found.changed) == (True, None, 0.5)


def test_tables_that_do_not_say_who_made_them_are_compared_with_a_caveat() -> None:
    for old, new, words in (
        (made(None), made(None), "neither table says which tokenizer made it"),
        (made("aa"), made(None), "one of the tables does not say"),
    ):
        found = drift(old, new)
        assert (found.comparable, found.changed) == (True, 0)
        assert str(found.caveat).startswith(words)


def test_ids_of_two_types_are_refused() -> None:
    with pytest.raises(DataError, match="int64 and string"):
        drift(build({1: (0, 0)}), SemanticIDs.build(["1"], [[0, 0]], SIZES))

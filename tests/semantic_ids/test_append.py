from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.errors import DataError, FormatError
from mmq.metrics.buckets import bucket_ids
from mmq.semantic_ids import (
    Candidates,
    Lacking,
    Manifest,
    SemanticIDs,
    TokenizerRef,
    append,
    build_manifest,
)
from mmq.semantic_ids._lacking import LackingRef
from mmq.semantic_ids._manifest import ImportedRef

SIZES = (3, 2)
FILE = ImportedRef(file="index.json", sha256="c" * 64, columns=["values"], first_codes=[0, 0])

CODES = st.tuples(*(st.integers(0, size - 1) for size in SIZES))
ENTRIES = st.dictionaries(st.integers(0, 30), CODES, min_size=1, max_size=25)


def pair_is_unique(ids: SemanticIDs) -> bool:
    pairs = np.concatenate([ids.codes, ids.rank[:, None]], axis=1)
    return int(bucket_ids(pairs).max()) + 1 == len(ids)


@given(ENTRIES, ENTRIES, st.booleans())
def test_old_rows_stand_and_new_ones_follow(
    before: dict[int, tuple[int, int]], given_now: dict[int, tuple[int, int]], move: bool
) -> None:
    old = SemanticIDs.build(list(before), list(before.values()), SIZES)
    items, codes = list(given_now), np.array(list(given_now.values()))

    def candidates(rows: np.ndarray) -> Candidates:
        names = np.stack([codes[rows], (codes[rows] + 1) % SIZES], axis=2)
        return Candidates(names, np.broadcast_to([1.0, 0.5], names.shape))

    result = append(old, items, codes, candidates=candidates if move else None)
    ids, count = result.ids, len(old)
    fresh = [item for item in items if item not in before]
    assert ids.item_ids.to_pylist() == list(before) + fresh
    assert (ids.codes[:count] == old.codes).all()
    assert (ids.rank[:count] == old.rank).all()
    assert (result.added, result.kept) == (len(fresh), len(items) - len(fresh))
    assert pair_is_unique(ids)
    wanted = np.array([given_now[item] for item in fresh], np.int32).reshape(-1, 2)
    differs = (ids.codes[count:] != wanted).any(axis=1)
    assert differs.sum() == result.moved
    assert move or result.moved == 0
    owned = set(map(tuple, old.codes.tolist()))
    assert all(tuple(code) not in owned for code in ids.codes[count:][differs].tolist())


@given(ENTRIES, st.integers(1, 24))
def test_appending_in_two_steps_equals_building_at_once(
    entries: dict[int, tuple[int, int]], cut: int
) -> None:
    items, codes = list(entries), list(entries.values())
    whole = SemanticIDs.build(items, codes, SIZES)
    grown = append(SemanticIDs.build(items[:cut], codes[:cut], SIZES), items, codes).ids
    assert grown.fingerprint() == whole.fingerprint()


def test_ranks_go_on_where_items_were_deleted() -> None:
    full = SemanticIDs.build([1, 2, 3], [[0]] * 3, [2])
    old = SemanticIDs(full.item_ids[1:], full.codes[1:], full.rank[1:], (2,), full.manifest)
    ids = append(old, [4, 5, 6], [[0], [1], [0]]).ids
    assert ids.rank.tolist() == [1, 2, 3, 0, 4]


def test_the_new_manifest_is_kept_and_another_tokenizer_refused() -> None:
    def made_by(fingerprint: str, ordered: bool = False):  # type: ignore[no-untyped-def]
        tokenizer = TokenizerRef(name="mmq", fingerprint=fingerprint)
        return build_manifest([2], tokenizer=tokenizer, collisions="move" if ordered else "rank")

    old = SemanticIDs.build([1], [[0]], [2], made_by("aa"))
    assert append(old, [2], [[0]], made_by("aa", True)).ids.manifest == made_by("aa", True)
    with pytest.raises(FormatError, match="mix two code spaces"):
        append(old, [2], [[0]], made_by("bb"))


@pytest.mark.parametrize(
    ("items", "codes", "message"),
    [
        ([2, 2], [[0], [0]], "occurs 2 times"),
        ([2, 3], [[0]], "2 item ids for 1"),
        (["2"], [[0]], "cast them to one type"),
        ([2], [[7]], "outside its codebook"),
    ],
)
def test_what_cannot_be_appended_is_refused(
    items: list[object], codes: list[list[int]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        append(SemanticIDs.build(pa.array([1]), [[0]], [2]), items, codes)


@given(
    st.dictionaries(st.integers(0, 20), st.tuples(CODES, st.booleans()), min_size=1, max_size=15),
    st.integers(1, 14),
    st.booleans(),
)
def test_who_lacks_what_is_that_of_all_rows(
    entries: dict[int, tuple[tuple[int, int], bool]], cut: int, older: bool
) -> None:
    """Also where the old table does not say it, and all of its items are given again."""
    places = {"text": [0], "image": [1]}
    maker = TokenizerRef(name="mmq", fingerprint="aa", positions=places)
    items, codes = list(entries), np.array([code for code, _ in entries.values()])
    absent = {"image": np.array([lacks for _, lacks in entries.values()])}

    def lacking(rows: slice) -> dict[str, LackingRef]:
        mask = {"image": absent["image"][rows]}
        return Lacking.of(codes[rows], mask, places).to_manifest()

    def manifest(rows: slice | None) -> Manifest:
        return build_manifest(
            SIZES, tokenizer=maker, lacking=None if rows is None else lacking(rows)
        )

    start = slice(0, cut)
    old = SemanticIDs.build(items[:cut], codes[:cut], SIZES, manifest(None if older else start))
    whole = append(old, items, codes, manifest(None), absent=absent).ids
    assert whole.manifest["lacking"] == lacking(slice(None))
    assert append(old, items, codes, manifest(slice(None))).ids.manifest["lacking"] is None


def test_a_tokenizer_cannot_go_on_from_ids_made_elsewhere() -> None:
    imported: Manifest = {**build_manifest(SIZES), "imported": [FILE]}
    old = SemanticIDs.build([0], [[1, 1]], SIZES, imported)
    manifest = build_manifest(SIZES, tokenizer=TokenizerRef(name="mmq", fingerprint="5f0c"))
    with pytest.raises(FormatError, match="add them with mmq import ids --append, or encode"):
        append(old, [1], [[0, 0]], manifest)
    assert append(old, [1], [[1, 1]]).ids.manifest["imported"] == [FILE]

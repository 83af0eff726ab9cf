from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmq.data._item_ids.index import _FEW
from mmq.errors import DataError, FormatError, UserError
from mmq.semantic_ids import SemanticIDs, TokenizerRef, build_manifest
from mmq.semantic_ids._append import append

SIZES = (3, 2, 4)


@st.composite
def tables(draw: st.DrawFn) -> SemanticIDs:
    names: st.SearchStrategy = draw(
        st.sampled_from([st.integers(-(2**63), 2**63 - 1), st.text(max_size=5)])
    )
    row = st.tuples(*(st.integers(0, size - 1) for size in SIZES))
    entries = draw(
        st.lists(st.tuples(names, row), min_size=1, max_size=40, unique_by=lambda e: e[0])
    )
    return SemanticIDs.build([e[0] for e in entries], [e[1] for e in entries], SIZES)


def same(first: SemanticIDs, second: SemanticIDs) -> bool:
    return (
        first.item_ids.equals(second.item_ids)
        and bool((first.codes == second.codes).all())
        and bool((first.rank == second.rank).all())
        and first.codebook_sizes == second.codebook_sizes
        and first.manifest == second.manifest
    )


@given(tables())
def test_rank_makes_the_pair_unique_and_follows_the_order(ids: SemanticIDs) -> None:
    seen: dict[tuple[int, ...], int] = {}
    for row, rank in zip(map(tuple, ids.codes.tolist()), ids.rank.tolist(), strict=True):
        assert rank == seen.get(row, 0)
        seen[row] = rank + 1


@settings(max_examples=30)
@given(tables())
def test_parquet_round_trip_is_exact_and_equal_bytes(ids: SemanticIDs) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "a.parquet"), Path(folder, "b.parquet")
        ids.write(first)
        back = SemanticIDs.read(first)
        back.write(second)
        assert same(ids, back)
        assert first.read_bytes() == second.read_bytes()
        assert ids.fingerprint() == back.fingerprint()


@given(tables())
def test_lookups_agree_with_dictionaries(ids: SemanticIDs) -> None:
    items, rows = ids.item_ids.to_pylist(), list(map(tuple, ids.codes.tolist()))
    owners: dict[tuple[int, ...], list[object]] = {}
    for item, row in zip(items, rows, strict=True):
        assert ids.of(item) == row
        owners.setdefault(row, []).append(item)
    for row, expected in owners.items():
        assert ids.lookup(row) == expected
    queries = np.array([*rows, (2, 1, 3), (0, 0, 9), (-1, 0, 0)])
    found = ids.rows_of(queries)
    for number, query in enumerate(map(tuple, queries.tolist())):
        mine = found.rows[found.offsets[number] : found.offsets[number + 1]]
        assert [items[row] for row in mine] == owners.get(query, [])


@pytest.mark.parametrize("text", [False, True])
def test_find_of_many_agrees_with_find_of_few(text: bool) -> None:
    values = np.random.default_rng(0).permutation(3 * _FEW)
    items = pa.array(values).cast(pa.string() if text else pa.int64())
    ids = SemanticIDs.build(items[:-5], np.zeros((len(values) - 5, 1), int), [1])
    expected = np.arange(len(values))
    expected[-5:] = -1
    assert (ids.find(items) == expected).all()
    assert (ids.find(items[-20:]) == expected[-20:]).all()
    assert ids.find(items[:0]).tolist() == []


def test_rows_come_by_rank_even_when_the_file_was_sorted_otherwise() -> None:
    ids = SemanticIDs(
        pa.array([1, 2, 3]),
        np.zeros((3, 1), np.int32),
        np.array([2, 0, 1], np.int32),
        (1,),
        build_manifest([1]),
    )
    assert ids.lookup((0,)) == [2, 3, 1]


def test_ids_of_the_command_line_are_read_as_the_tables_type() -> None:
    assert SemanticIDs.build([5, 6], [[0], [1]], [2]).of("6") == (1,)
    assert SemanticIDs.build(["5", "6"], [[0], [1]], [2]).of(6) == (1,)
    with pytest.raises(DataError, match="whole numbers"):
        SemanticIDs.build([5], [[0]], [2]).of("Alien")


@pytest.mark.parametrize("items", [[10, 20, 30], ["10", "20", "30"]])
def test_an_unknown_item_is_named_with_its_neighbours(items: list[object]) -> None:
    ids = SemanticIDs.build(items, [[0], [1], [0]], [2])
    with pytest.raises(DataError, match=r"item '21' is not among the 3 .* '?20'?, '?30'?"):
        ids.of("21")
    with pytest.raises(DataError, match="null"):
        ids.find([None])


def test_a_semantic_id_of_another_length_is_refused() -> None:
    with pytest.raises(DataError, match=r"should be \(m, 1\)"):
        SemanticIDs.build([5], [[0]], [2]).lookup((0, 0))


def test_fingerprint_sees_ids_codes_and_ranks_and_no_slices() -> None:
    def fingerprint(items: object, codes: object, sizes: list[int]) -> str:
        return SemanticIDs.build(items, codes, sizes).fingerprint()

    base = fingerprint(["a", "bc"], [[0], [1]], [2])
    assert fingerprint(pa.array(["x", "a", "bc", "y"])[1:3], [[0], [1]], [2]) == base
    others = [
        fingerprint(["ab", "c"], [[0], [1]], [2]),
        fingerprint(["a", "bc"], [[0], [0]], [2]),
        fingerprint(["a", "bc"], [[0], [1]], [3]),
        fingerprint([""], [[0]], [2]),
    ]
    assert len({base, *others}) == 5


@pytest.mark.parametrize(
    ("items", "codes", "message"),
    [
        ([1, 1], [[0], [0]], "occurs 2 times"),
        ([1, None], [[0], [0]], "no item id"),
        ([1, 2], [[0]], "2 item ids, 1 semantic IDs"),
        ([1], [[5]], "outside its codebook"),
        ([], np.zeros((0, 1), int), "empty"),
    ],
)
def test_tables_that_do_not_hold_together_are_refused(
    items: list[object], codes: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        SemanticIDs.build(items, codes, [2])


def test_a_manifest_of_other_codebooks_is_refused() -> None:
    with pytest.raises(FormatError, match="manifest says"):
        SemanticIDs.build([1], [[0]], [2], build_manifest([3]))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    manifest = build_manifest([9, 9], tokenizer=TokenizerRef(name="opq", fingerprint="f"))
    path = tmp_path / "ids.parquet"
    SemanticIDs.build(np.arange(500), rng.integers(0, 9, (500, 2)), [9, 9], manifest).write(path)
    return path


def test_no_file() -> None:
    with pytest.raises(DataError, match="no semantic ID table at"):
        SemanticIDs.read("nowhere.parquet")


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_a_truncated_file_is_refused(written: Path, keep: float) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(FormatError, match="truncated or damaged"):
        SemanticIDs.read(written)


def test_a_flipped_byte_never_gives_other_ids(written: Path) -> None:
    content, whole = written.read_bytes(), SemanticIDs.read(written)
    refused = 0
    for place in range(4, len(content), 53):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        written.write_bytes(damaged)
        try:
            back = SemanticIDs.read(written)
        except UserError:
            refused += 1
        else:
            assert back.fingerprint() == whole.fingerprint()
    assert refused > 10


def rewrite(path: Path, **columns: pa.Array | None) -> None:
    table = pq.read_table(path)
    metadata = table.schema.metadata
    content = {name: table.column(name) for name in table.column_names} | columns
    kept = {name: column for name, column in content.items() if column is not None}
    pq.write_table(pa.table(kept).replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"rank": None}, "no column rank"),
        ({"semantic_id": None, "item_id": None}, "no column item_id, semantic_id"),
        ({"rank": pa.array([0] * 500)}, r"semantic ID \(\d, \d\) and the rank 0"),
        ({"rank": pa.array([-1] * 500)}, "negative"),
        ({"rank": pa.array([None] * 500, pa.int32())}, "without nulls"),
        ({"rank": pa.array([2**40] * 500)}, "no int32"),
        ({"item_id": pa.array([7] * 500)}, "occurs 500 times"),
        ({"item_id": pa.array([0.5] * 500)}, "integers or strings"),
        ({"semantic_id": pa.array([[0, 9]] * 500)}, "code 9 at position 1 is outside"),
        ({"semantic_id": pa.array([[0, 1, 2]] * 500)}, "not of the manifest's length 2"),
        ({"semantic_id": pa.array([[0, 1]] * 499 + [None])}, "null"),
        ({"semantic_id": pa.array([[0.0, 1.0]] * 500)}, "int32 without nulls"),
        ({"semantic_id": pa.array(["0-1"] * 500)}, "list of integers"),
    ],
)
def test_files_that_do_not_hold_together_are_refused(
    written: Path, columns: dict[str, pa.Array | None], message: str
) -> None:
    rewrite(written, **columns)
    with pytest.raises(FormatError, match=message) as error:
        SemanticIDs.read(written)
    assert str(written) in str(error.value)


def test_other_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"item_id": [1]}), path)
    with pytest.raises(FormatError, match="no semantic ID table of mmq"):
        SemanticIDs.read(path)


def test_a_newer_format_asks_for_an_upgrade(written: Path) -> None:
    table = pq.read_table(written)
    metadata = {b"mmq.semantic_ids": b'{"format": 99, "mmq": "9.9"}'}
    pq.write_table(table.replace_schema_metadata(metadata), written)
    with pytest.raises(FormatError, match="upgrade"):
        SemanticIDs.read(written)


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int32())])
def test_a_table_that_other_tools_filtered_is_read(written: Path, kind: pa.DataType) -> None:
    whole = SemanticIDs.read(written)
    table = pq.read_table(written).filter(pa.array([True, False] * 250))
    column = table.column("semantic_id").combine_chunks().to_pylist()
    place = table.schema.get_field_index("semantic_id")
    pq.write_table(table.set_column(place, "semantic_id", pa.array(column, kind)), written)
    part = SemanticIDs.read(written)
    assert part.item_ids.to_pylist() == list(range(0, 500, 2))
    assert (part.codes == whole.codes[::2]).all()
    assert (part.rank == whole.rank[::2]).all()


def test_rows_that_were_found_may_be_written_to() -> None:
    for count in (3, 400):
        names = [f"item-{row}" for row in range(count)]
        rows = SemanticIDs.build(names, [[0]] * count, [1]).find(names)
        rows[0] = -1
        assert rows[1] == 1


def test_what_a_table_shows_of_itself_is_one_line() -> None:
    ids = SemanticIDs.build([1, 2], [[0, 3], [1, 0]], [2, 4])
    assert repr(ids) == "SemanticIDs(2 items, 2 codes of 2 to 4, by an unknown tokenizer)"


def test_ids_past_the_largest_text_array_are_the_same_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As if an Arrow array of text held 30 bytes in place of 2 GiB."""
    names = [f"item-{row}" for row in range(40)]
    codes = np.arange(80).reshape(40, 2) % 7
    pieces = pa.chunked_array([names[:9], names[9:]])
    small = SemanticIDs.build(pieces, codes, [7, 7])
    monkeypatch.setattr("mmq.data._item_ids.reading._OFFSETS", 30)
    large = SemanticIDs.build(pieces, codes, [7, 7])
    assert (small.item_ids.type, large.item_ids.type) == (pa.string(), pa.large_string())
    assert large.fingerprint() == small.fingerprint()
    assert SemanticIDs.build(pieces, codes + 0, [7, 8]).fingerprint() != small.fingerprint()
    large.write(tmp_path / "ids.parquet")
    assert SemanticIDs.read(tmp_path / "ids.parquet").fingerprint() == small.fingerprint()
    asked = [*names[::-1], "item-none"]
    monkeypatch.setattr("mmq.data._item_ids.index._FEW", 3)
    for table in (small, large):
        for query in (asked, pa.chunked_array([asked[:5], asked[5:]])):
            assert table.find(query).tolist() == [*range(39, -1, -1), -1]
        added = append(table, pa.chunked_array([["new-1"], ["new-2"]]), [[0, 1], [2, 3]]).ids
        assert added.item_ids.to_pylist() == [*names, "new-1", "new-2"]
        assert added.find(["new-2", "item-3"]).tolist() == [41, 3]


@pytest.mark.parametrize("content", [b'{"a": [1, 2]}', b"item_id,c0,c1\na,1,2\n", b"\0" * 50])
def test_a_file_that_never_was_parquet_is_to_be_imported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ids.parquet"
    path.write_bytes(content)
    with pytest.raises(
        FormatError, match=r"is no semantic ID table of mmq; .* mmq import ids"
    ) as no:
        SemanticIDs.read(path)
    assert "damaged" not in str(no.value)


def test_parquet_of_others_is_to_be_imported(tmp_path: Path) -> None:
    table = pa.table({"item_id": [1], "semantic_id": [[1, 2]], "rank": [0]})
    pq.write_table(table, tmp_path / "ids.parquet")
    with pytest.raises(FormatError, match=r"Parquet, but no semantic ID table .* mmq import ids"):
        SemanticIDs.read(tmp_path / "ids.parquet")

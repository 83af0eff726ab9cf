from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from decoding_cases import Case, assert_same, cases
from hypothesis import given
from safetensors.numpy import save_file

from mmq.decoding import (
    PrefixIndex,
    beam_search,
    codes_fingerprint,
    exact_search,
    read_index,
    write_index,
)
from mmq.errors import DataError, FormatError


def random_index(items: int = 300, size: int = 20, length: int = 4) -> PrefixIndex:
    codes = np.random.default_rng(0).integers(0, size, (items, length)).astype(np.int32)
    return PrefixIndex.build(codes, [size] * length)


def prefixes(index: PrefixIndex) -> list[list[tuple[int, ...]]]:
    """The prefixes of every level in the order of their nodes, walked from the root."""
    above: list[tuple[int, ...]] = [()]
    result = []
    for level in index.levels:
        starts, codes = level.starts.tolist(), level.codes.tolist()
        assert len(starts) == len(above) + 2
        assert starts[-1] == starts[-2] == level.nodes
        above = [
            (*prefix, codes[child])
            for prefix, first, end in zip(above, starts[:-2], starts[1:-1], strict=True)
            for child in range(first, end)
        ]
        result.append(above)
    return result


def ids_of_items(index: PrefixIndex) -> dict[int, tuple[int, ...]]:
    """The ID of every row, read off the tree; rows under a leaf in their order."""
    starts, rows = index.leaf_starts.tolist(), index.rows.tolist()
    leaves = prefixes(index)[-1]
    return {
        row: leaf
        for number, leaf in enumerate(leaves)
        for row in rows[starts[number] : starts[number + 1]]
    }


@given(cases())
def test_the_tree_holds_every_prefix_once_and_in_order(case: Case) -> None:
    index = PrefixIndex.build(case.codes, case.sizes)
    rows = [tuple(row) for row in case.codes.tolist()]
    for length, found in enumerate(prefixes(index), start=1):
        assert found == sorted({row[:length] for row in rows})
    assert ids_of_items(index) == dict(enumerate(rows))
    assert index.rows.tolist()[:-1] == sorted(range(len(rows)), key=lambda row: (rows[row], row))
    assert index.leaf_codes.tolist() == [list(leaf) for leaf in sorted(set(rows))]


@given(cases())
def test_dense_tables_agree_with_the_lists(case: Case) -> None:
    for level in PrefixIndex.build(case.codes, case.sizes).levels:
        starts, codes = level.starts.tolist(), level.codes.tolist()
        expected = np.full((level.above + 1, level.size), level.nodes)
        for parent in range(level.above):
            for child in range(starts[parent], starts[parent + 1]):
                expected[parent, codes[child]] = child
        assert level.children.tolist() == expected.tolist()
        assert torch.equal(level.penalty == 0, level.children != level.nodes)


@given(cases())
def test_a_restricted_index_is_that_of_its_items(case: Case) -> None:
    index = PrefixIndex.build(case.codes, case.sizes)
    allowed = torch.from_numpy(np.random.default_rng(len(case.codes)).random(len(case.codes)) < 0.4)
    restricted = index.restrict(allowed)
    rows = [tuple(row) for row in case.codes.tolist()]
    expected = {row: rows[row] for row in allowed.nonzero()[:, 0].tolist()}
    assert ids_of_items(restricted) == expected
    for length, found in enumerate(prefixes(restricted), start=1):
        assert found == sorted({row[:length] for row in expected.values()})
    positions = restricted.positions.tolist()
    assert [restricted.rows[positions[row]].item() for row in expected] == list(expected)
    assert positions.count(-1) == len(rows) - len(expected)


@given(cases())
def test_item_starts_count_the_items_below(case: Case) -> None:
    index = PrefixIndex.build(case.codes, case.sizes)
    rows = [tuple(row) for row in case.codes.tolist()]
    for length, (found, starts) in enumerate(
        zip(prefixes(index), index.item_starts, strict=True), start=1
    ):
        counts = [sum(row[:length] == prefix for row in rows) for prefix in found]
        assert starts.diff().tolist() == [*counts, 0]


@pytest.mark.parametrize(("size", "length"), [(3000, 6), (7, 32), (70_000, 2), (1, 3)])
def test_ids_of_any_size_and_length(size: int, length: int) -> None:
    codes = np.random.default_rng(1).integers(0, size, (200, length)).astype(np.int32)
    index = PrefixIndex.build(codes, [size] * length)
    assert ids_of_items(index) == {row: tuple(code) for row, code in enumerate(codes.tolist())}


def test_bytes_a_level_and_item() -> None:
    for size, length in ((100, 6), (256, 32), (3000, 6)):
        codes = np.random.default_rng(0).integers(0, size, (50_000, length)).astype(np.int32)
        index = PrefixIndex.build(codes, [size] * length)
        assert index.nbytes / codes.size < 8


def test_wrong_codes_are_refused() -> None:
    with pytest.raises(DataError):
        PrefixIndex.build(np.array([[0, 3]]), [3, 3])
    with pytest.raises(DataError, match="1 to"):
        PrefixIndex.build(np.zeros((0, 3), np.int32), [3, 3, 3])


def test_a_saved_index_searches_alike_and_is_mapped(tmp_path: Path) -> None:
    index = random_index()
    write_index(tmp_path / "index", index)
    loaded = read_index(tmp_path / "index", index.fingerprint)
    for own, other in zip(index.levels, loaded.levels, strict=True):
        assert torch.equal(own.codes, other.codes)
        assert torch.equal(own.starts, other.starts)
        assert (own.width, own.size, own.dense) == (other.width, other.size, other.dense)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(tmp_path / "index") in maps.read_text()
    write_index(tmp_path / "again", loaded)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "index").read_bytes()


@given(cases())
def test_a_search_in_a_saved_index(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    path = tmp_path_factory.mktemp("index") / "index"
    index = PrefixIndex.build(case.codes, case.sizes)
    write_index(path, index)
    loaded = read_index(path, codes_fingerprint(case.codes, case.sizes))
    for search in (exact_search, lambda *args: beam_search(*args, 3)):
        assert_same(search(case.scores, loaded, case.k), search(case.scores, index, case.k))


def test_a_truncated_index_is_refused(tmp_path: Path) -> None:
    index, path = random_index(), tmp_path / "index"
    write_index(path, index)
    whole = path.read_bytes()
    for end in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(FormatError, match="truncated"):
            read_index(path, index.fingerprint)


def test_an_index_of_another_table_is_refused(tmp_path: Path) -> None:
    index, path = random_index(), tmp_path / "index"
    write_index(path, index)
    codes = index.leaf_codes.numpy().copy()
    codes[0, 0] += 1
    with pytest.raises(FormatError, match="another ID table"):
        read_index(path, codes_fingerprint(codes, index.codebook_sizes))
    with pytest.raises(DataError, match="no prefix index"):
        read_index(tmp_path / "missing", index.fingerprint)


@pytest.mark.filterwarnings("ignore:.*holds no checksum")
def test_other_files_and_newer_formats_are_refused(tmp_path: Path) -> None:
    path, arrays = tmp_path / "file", {"rows": np.zeros(3, np.int32)}
    save_file(arrays, path)
    with pytest.raises(FormatError, match="no prefix index of mmq"):
        read_index(path, "")
    save_file(arrays, path, {"mmq.prefix_index": '{"format": 99}'})
    with pytest.raises(FormatError, match="format 99"):
        read_index(path, "")
    save_file(arrays, path, {"mmq.prefix_index": '{"format": 1}'})
    with pytest.raises(FormatError, match="truncated or damaged"):
        read_index(path, "")


def test_arrays_that_do_not_hold_together_are_refused(tmp_path: Path) -> None:
    index, path = random_index(), tmp_path / "index"
    index.levels[1].starts[-1] += 1
    write_index(path, index)
    with pytest.raises(FormatError, match="hold together"):
        read_index(path, index.fingerprint)


def test_moved_to_a_device() -> None:
    index = random_index()
    assert index.to("cpu") is index
    assert index.to("meta").levels[2].codes.device.type == "meta"

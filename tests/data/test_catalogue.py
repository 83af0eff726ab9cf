import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq import Catalogue, read_catalogue, write_catalogue
from mmq.data import CatalogueFile, Reduction
from mmq.errors import DataError, FormatError


def shop(items=50, seed=0, missing=0.2):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(items, 5))
    image[rng.random(items) < missing] = np.nan
    return Catalogue.build(
        [f"i{n}" for n in range(items)],
        {"text": rng.normal(size=(items, 3)), "image": image},
        {"title": [f"Item {n}" for n in range(items)]},
    )


def same(one, other):
    assert one.item_ids.equals(other.item_ids)
    assert one.modalities == other.modalities
    for modality in one.modalities:
        assert np.array_equal(one.embeddings[modality], other.embeddings[modality])
        assert np.array_equal(one.present[modality], other.present[modality])
    assert one.attributes.equals(other.attributes)


def test_parquet_round_trip(tmp_path):
    write_catalogue(tmp_path / "c.parquet", shop())
    same(read_catalogue(tmp_path / "c.parquet"), shop())


@given(
    groups=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    size=st.integers(1, 10),
    items=st.integers(0, 60),
)
def test_pieces_cover_the_file_in_order_from_any_boundary(tmp_path_factory, groups, size, items):
    path = tmp_path_factory.mktemp("c") / "c.parquet"
    whole = shop(sum(groups))
    table = pa.table(
        {
            "item_id": whole.item_ids,
            "text": pa.FixedSizeListArray.from_arrays(
                pa.array(whole.embeddings["text"].reshape(-1)), 3
            ),
        }
    )
    with pq.ParquetWriter(path, table.schema) as writer:
        start = 0
        for rows in groups:
            writer.write_table(table.slice(start, rows))
            start += rows
    file = CatalogueFile(path)
    start = file.boundary(min(items, len(file)), size)
    assert min(items, len(file)) - start < size
    pieces = list(file.batches(size, start=start))
    ids = [item for piece in pieces for item in piece.item_ids.to_pylist()]
    assert ids == whole.item_ids.to_pylist()[start:]
    if pieces:
        text = np.concatenate([piece.embeddings["text"] for piece in pieces])
        assert np.array_equal(text, whole.embeddings["text"][start:])


def test_sample_is_a_seeded_part_in_order(tmp_path):
    write_catalogue(tmp_path / "c.parquet", shop(50).batches(7))
    file = CatalogueFile(tmp_path / "c.parquet")
    some = file.read(sample=20, seed=1)
    rows = [int(item[1:]) for item in some.item_ids.to_pylist()]
    assert rows == sorted(set(rows))
    assert len(rows) == 20
    same(some, shop(50).take(np.array(rows)))
    same(file.read(sample=20, seed=1), some)
    assert not file.read(sample=20, seed=2).item_ids.equals(some.item_ids)
    same(file.read(sample=99), shop(50))


def test_embeddings_are_not_copied_on_the_way_to_numpy(tmp_path):
    write_catalogue(tmp_path / "c.parquet", shop(missing=0))
    piece = next(CatalogueFile(tmp_path / "c.parquet").batches())
    for matrix in piece.embeddings.values():
        assert not matrix.flags.owndata  # a view of Arrow's buffer


def test_reductions_travel_with_the_catalogue(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 6))
    pca = Reduction.fit(rows, 3)
    catalogue = Catalogue.build(range(40), {"text": pca.apply(rows)}, reductions={"text": pca})
    write_catalogue(tmp_path / "c.parquet", catalogue)
    found = CatalogueFile(tmp_path / "c.parquet").reductions["text"]
    assert found.fingerprint() == pca.fingerprint()
    assert np.array_equal(found.apply(rows), pca.apply(rows))
    part = read_catalogue(tmp_path / "c.parquet").take(np.arange(9))
    write_catalogue(tmp_path / "part.parquet", part)
    found = CatalogueFile(tmp_path / "part.parquet").reductions["text"]
    assert found.fingerprint() == pca.fingerprint()


@pytest.mark.parametrize("stored", [b"no base64!", b"AAAA"])
def test_a_damaged_reduction_is_refused(tmp_path, stored):
    path = tmp_path / "c.parquet"
    write_catalogue(path, shop())
    table = pq.read_table(path).replace_schema_metadata({b"mmq.reduction.text": stored})
    pq.write_table(table, path)
    with pytest.raises(FormatError, match=r"the PCA kept in .* is damaged"):
        CatalogueFile(path)


def test_a_pca_of_rows_that_are_all_alike():
    with pytest.raises(DataError, match="are all alike; leave that modality out"):
        Reduction.fit(np.tile(np.random.default_rng(0).normal(size=6), (40, 1)), 3)


def test_two_columns_of_one_name(tmp_path):
    path = tmp_path / "c.parquet"
    write_catalogue(path, shop())
    table = pq.read_table(path)
    pq.write_table(table.append_column("item_id", table.column("item_id")), path)
    with pytest.raises(DataError, match="has 2 columns 'item_id'; rename all but one"):
        CatalogueFile(path)


def test_reduction_is_pca():
    rows = np.random.default_rng(0).normal(size=(200, 6)) * [5, 4, 3, 2, 1, 0.5]
    pca = Reduction.fit(rows, 6)
    scores = pca.apply(rows)
    assert np.allclose(scores.mean(0), 0, atol=1e-5)
    covariance = np.cov(scores, rowvar=False)
    assert np.allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3)
    assert (np.diff(np.diag(covariance)) < 0).all()
    assert pca.explained[0] == pytest.approx(1)
    assert Reduction.fit(rows, 2).explained[0] == pytest.approx(
        np.diag(covariance)[:2].sum() / np.trace(covariance), abs=1e-4
    )


@pytest.mark.parametrize("dimension", [0, 7, 200])
def test_reduction_to_an_impossible_width(dimension):
    with pytest.raises(DataError, match="choose --reduce between"):
        Reduction.fit(np.ones((20, 6)), dimension)


def test_reduction_of_another_width():
    pca = Reduction.fit(np.random.default_rng(0).normal(size=(20, 6)), 2)
    with pytest.raises(DataError, match="was fitted on 6"):
        pca.apply(np.ones((3, 5)))


def test_take_and_rows():
    catalogue = shop()
    few = catalogue.take(np.array([9, 2]))
    assert few.item_ids.to_pylist() == ["i9", "i2"]
    assert few.attributes.column("title").to_pylist() == ["Item 9", "Item 2"]
    assert catalogue.rows(["i2", "i9"]).tolist() == [2, 9]
    with pytest.raises(DataError, match="'nobody' is not in the catalogue"):
        catalogue.rows(["nobody"])


@pytest.mark.parametrize(
    ("ids", "text", "expected"),
    [
        ([1, 2, 2], np.ones((3, 2)), "item id 2 occurs 2 times"),
        ([1, None, 2], np.ones((3, 2)), "row 1 has no item id"),
        ([1, "a", 2], np.ones((3, 2)), "not a mix"),
        ([1.5, 2.5, 3.5], np.ones((3, 2)), "integers or strings"),
        ([], np.ones((0, 2)), "empty"),
        ([1, 2, 3], np.ones((2, 2)), "one row an item"),
        ([1, 2, 3], np.ones(3), "should be \\(items, dimension\\)"),
        ([1, 2, 3], [[1, 1], [0, 0], [1, 1]], "item 2 is a zero vector"),
        ([1, 2, 3], [[1, 1], [1, np.nan], [1, 1]], "item 2 holds NaN or infinity"),
        ([1, 2, 3], [[1, 1], [1, -np.inf], [1, 1]], "item 2 holds NaN or infinity"),
        ([1, 2, 3], [[1, 1], [1e20, 1e20], [1, 1]], "item 2 is too long or too short"),
        ([1, 2, 3], [[1, 1], [1e-30, 1e-30], [1, 1]], "item 2 is too long or too short"),
        (["a", "b", "\ud800"], np.ones((3, 2)), "item ids should be text that UTF-8 can hold"),
    ],
)
def test_bad_catalogues(ids, text, expected):
    with pytest.raises(DataError, match=expected):
        Catalogue.build(ids, {"text": text})


@pytest.mark.parametrize("name", ["item_id", "shared"])
def test_names_that_no_modality_may_have(name):
    with pytest.raises(DataError, match=f"may not be called '{name}'; rename it"):
        Catalogue.build([1, 2], {"text": np.ones((2, 2)), name: np.ones((2, 2))})


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"title": ["a"]}, "attributes have 1 rows for 2 items"),
        ({"title": ["a", "b", "c"]}, "attributes have 3 rows for 2 items"),
        ({"title": ["a", 1]}, "attributes make no table"),
        ({"title": ["a", "b"], "year": [1]}, "attributes make no table"),
    ],
)
def test_attributes_that_are_no_table_of_the_items(attributes, expected):
    with pytest.raises(DataError, match=expected):
        Catalogue.build([1, 2], {"text": np.ones((2, 2))}, attributes)


def test_the_fingerprint_is_of_what_a_fit_reads():
    one = shop(20)
    assert one.fingerprint() == shop(20).fingerprint() == one.take(np.arange(20)).fingerprint()
    assert one.fingerprint() != shop(20, seed=1).fingerprint()
    assert one.fingerprint() != one.take(np.arange(19)).fingerprint()


def test_no_modality():
    with pytest.raises(DataError, match="no modality"):
        Catalogue.build([1], {})


def test_truncated_file(tmp_path):
    path = tmp_path / "c.parquet"
    write_catalogue(path, shop())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FormatError, match="not a whole Parquet file"):
        read_catalogue(path)


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    def pieces():
        yield shop(10)
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="the disk is full"):
        write_catalogue(tmp_path / "c.parquet", pieces())
    assert list(tmp_path.iterdir()) == []


def parts_of(catalogue, folder, places):
    """A catalogue in so many files, cut at these places."""
    folder.mkdir()
    ends = [*places, len(catalogue)]
    for number, (start, end) in enumerate(zip([0, *places], ends, strict=True)):
        piece = catalogue.take(np.arange(start, end))
        write_catalogue(folder / f"part-{number}.parquet", piece)
    return folder


def test_a_catalogue_may_be_a_folder_of_parts_or_a_pattern(tmp_path):
    whole = shop()
    write_catalogue(tmp_path / "whole.parquet", whole)
    folder = parts_of(whole, tmp_path / "parts", (7, 30))
    (folder / "_SUCCESS").touch()
    for path in (folder, folder / "*.parquet"):
        file = CatalogueFile(path)
        assert (len(file), file.dimensions) == (50, whole.dimensions)
        read = file.read()
        same(read, whole)
        pieces = list(file.batches(size=10))
        assert [len(piece) for piece in pieces] == [7, 10, 10, 3, 10, 10]
        for start in (0, 7, 17, 30, 40):
            rest = list(file.batches(size=10, start=start))
            assert sum(map(len, rest)) == 50 - start
            assert rest[0].item_ids[0] == whole.item_ids[start]
            assert file.boundary(start + 1, 10) == start
    before = CatalogueFile(folder).fingerprint()
    assert CatalogueFile(folder / "*.parquet").fingerprint() == before
    write_catalogue(folder / "part-1.parquet", whole.take(np.arange(8, 30)))
    assert CatalogueFile(folder).fingerprint() != before


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            Catalogue.build(
                ["x"], {"text": np.ones((1, 4)), "image": np.ones((1, 5))}, {"title": ["X"]}
            ),
            r"does not go with .*part-0.parquet: the column text differs; give parts of one",
        ),
        (
            Catalogue.build(
                [1], {"text": np.ones((1, 3)), "image": np.ones((1, 5))}, {"title": ["X"]}
            ),
            "the column item_id differs",
        ),
        (Catalogue.build(["x"], {"text": np.ones((1, 3))}), "has no column 'image', which other"),
        (shop(5), "occurs 2 times"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(tmp_path, other, message):
    folder = parts_of(shop(9), tmp_path / "parts", (4,))
    write_catalogue(folder / "part-2.parquet", other)
    with pytest.raises(DataError, match=message):
        CatalogueFile(folder).read()
    for path in folder.iterdir():
        path.unlink()
    (folder / "a.csv").write_text("item_id\n1\n")
    with pytest.raises(DataError, match=r"holds a.csv, but a catalogue is Parquet"):
        CatalogueFile(folder)

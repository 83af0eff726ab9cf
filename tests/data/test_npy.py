from __future__ import annotations

import json

import numpy as np
import pytest

from mmq.data import _npy as npy
from mmq.data._catalogue import Catalogue
from mmq.data._items import ItemColumns
from mmq.data._npy import NpyImport, import_npy, open_npy
from mmq.data._parquet import CatalogueFile, read_catalogue, write_catalogue
from mmq.errors import DataError, FormatError, SettingsError

ITEMS = 60


@pytest.fixture
def source(tmp_path):
    """Items with text (float32, 12 dimensions) and image (float16, 5), image 3 missing."""
    rng = np.random.default_rng(0)
    rows = [{"item": i + 100, "title": f"Item {i}", "image": f"{i}.jpg"} for i in range(ITEMS)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    image = rng.normal(size=(ITEMS, 5)).astype(np.float16)
    image[3] = np.nan
    np.save(tmp_path / "text.npy", rng.normal(size=(ITEMS, 12)).astype(np.float32))
    np.save(tmp_path / "image.npy", image)
    return NpyImport(
        tmp_path / "items.jsonl",
        {"text": tmp_path / "text.npy", "image": tmp_path / "image.npy"},
        ItemColumns("item"),
    )


def with_options(source, **options):
    return NpyImport(source.items, source.modalities, source.columns, **options)


def test_plain_import(source, tmp_path):
    out = tmp_path / "out.parquet"
    assert import_npy(source, out) == {
        "items": ITEMS,
        "modalities": {
            "text": {"dimension": 12, "missing": 0},
            "image": {"dimension": 5, "missing": 1},
        },
        "out": str(out),
    }
    catalogue = read_catalogue(out)
    assert catalogue.item_ids.to_pylist() == list(range(100, 160))
    np.testing.assert_array_equal(catalogue.embeddings["text"], np.load(tmp_path / "text.npy"))
    assert np.flatnonzero(~catalogue.present["image"]).tolist() == [3]
    assert catalogue.attributes.column_names == ["title", "image_path"]


def test_reduction_is_pca_of_the_rows_present_and_is_kept(source, tmp_path):
    out = tmp_path / "out.parquet"
    result = import_npy(with_options(source, reduce=4), out)
    catalogue, kept = read_catalogue(out), CatalogueFile(out).reductions
    assert catalogue.dimensions == {"text": 4, "image": 4}
    image = np.load(tmp_path / "image.npy").astype(np.float64)[np.arange(ITEMS) != 3]
    centred = image - image.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False)
    share = (singular[:4] ** 2).sum() / (singular**2).sum()
    assert result["modalities"]["image"]["explained_variance"] == pytest.approx(share, abs=1e-5)
    reduced = catalogue.embeddings["image"][catalogue.present["image"]]
    np.testing.assert_allclose(np.linalg.svd(reduced, compute_uv=False), singular[:4], rtol=1e-4)
    np.testing.assert_allclose(kept["image"].apply(image.astype(np.float32)), reduced, atol=1e-5)
    assert not catalogue.embeddings["image"][3].any()


def test_narrow_modalities_are_left_as_they_are(source, tmp_path):
    result = import_npy(with_options(source, reduce=5), tmp_path / "out.parquet")
    assert result["modalities"]["image"] == {"dimension": 5, "missing": 1}
    assert list(CatalogueFile(tmp_path / "out.parquet").reductions) == ["text"]


def test_reduce_like_repeats_an_older_reduction(source, tmp_path):
    import_npy(with_options(source, reduce=5), tmp_path / "old.parquet")
    again = with_options(source, reduce_like=tmp_path / "old.parquet")
    import_npy(again, tmp_path / "new.parquet")
    assert (tmp_path / "new.parquet").read_bytes() == (tmp_path / "old.parquet").read_bytes()


def test_pieces_do_not_change_the_result(source, tmp_path, monkeypatch):
    import_npy(with_options(source, reduce=4), tmp_path / "whole.parquet")
    monkeypatch.setattr(npy, "BATCH", 7)
    result = import_npy(with_options(source, reduce=4), tmp_path / "pieces.parquet")
    whole, pieces = (read_catalogue(tmp_path / f"{n}.parquet") for n in ("whole", "pieces"))
    assert result["items"] == ITEMS
    assert result["modalities"]["image"]["missing"] == 1
    assert pieces.item_ids.equals(whole.item_ids)
    assert pieces.attributes.equals(whole.attributes)
    for name in whole.modalities:
        np.testing.assert_allclose(
            pieces.embeddings[name], whole.embeddings[name], rtol=1e-5, atol=1e-6
        )


def test_a_sample_of_many_rows_is_fitted_on(source, tmp_path, monkeypatch):
    whole = import_npy(with_options(source, reduce=4), tmp_path / "a.parquet")
    monkeypatch.setattr(npy, "FIT_ROWS", 30)
    first = import_npy(with_options(source, reduce=4), tmp_path / "b.parquet")
    second = import_npy(with_options(source, reduce=4), tmp_path / "c.parquet")
    assert first["modalities"] == second["modalities"] != whole["modalities"]


@pytest.mark.parametrize("reduce", [None, 4])
@pytest.mark.parametrize(
    ("place", "value"), [((2, 0), np.nan), ((2, 4), np.nan), ((2, 3), np.inf), ((2, 0), -np.inf)]
)
def test_rows_bad_in_part_are_refused(source, tmp_path, reduce, place, value):
    image = np.load(tmp_path / "image.npy")
    image[place] = value
    np.save(tmp_path / "image.npy", image)
    with pytest.raises(DataError, match=r"image embedding.* holds NaN or infinity"):
        import_npy(with_options(source, reduce=reduce), tmp_path / "out.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "image.npy", "items.jsonl", "text.npy",
    ]  # fmt: skip


def test_float64_beyond_float32_is_refused(source, tmp_path):
    np.save(tmp_path / "text.npy", np.full((ITEMS, 2), 1e300))
    with pytest.raises(DataError, match="holds NaN or infinity"):
        import_npy(source, tmp_path / "out.parquet")


def test_lengths_that_differ(source, tmp_path):
    np.save(tmp_path / "text.npy", np.ones((ITEMS - 1, 3), np.float32))
    with pytest.raises(DataError, match=r"text.npy has 59 rows, .*items.jsonl has 60 items"):
        import_npy(source, tmp_path / "out.parquet")


def test_a_modality_that_nobody_has_cannot_be_reduced(source, tmp_path):
    np.save(tmp_path / "text.npy", np.full((ITEMS, 12), np.nan, np.float32))
    assert import_npy(source, tmp_path / "a.parquet")["modalities"]["text"]["missing"] == ITEMS
    with pytest.raises(DataError, match="text embedding is missing for every item"):
        import_npy(with_options(source, reduce=4), tmp_path / "b.parquet")


def test_older_catalogues_that_do_not_fit(source, tmp_path):
    old = tmp_path / "old.parquet"
    import_npy(source, old)
    with pytest.raises(DataError, match="keeps no PCA"):
        import_npy(with_options(source, reduce_like=old), tmp_path / "new.parquet")
    import_npy(with_options(source, reduce=4), old)
    text = {"text": source.modalities["text"]}
    with pytest.raises(DataError, match="has a modality 'image' too"):
        import_npy(
            NpyImport(source.items, text, source.columns, reduce_like=old), tmp_path / "new.parquet"
        )
    with pytest.raises(DataError, match="has no modality 'txt'; did you mean 'text'"):
        import_npy(
            NpyImport(
                source.items, {"txt": source.modalities["text"]}, source.columns, reduce_like=old
            ),
            tmp_path / "new.parquet",
        )
    np.save(tmp_path / "text.npy", np.ones((ITEMS, 9), np.float32))
    with pytest.raises(DataError, match=r"has 9 dimensions, that of .* had 12 before its PCA"):
        import_npy(with_options(source, reduce_like=old), tmp_path / "new.parquet")


def test_options_that_exclude_each_other(source, tmp_path):
    with pytest.raises(SettingsError, match="exclude each other"):
        with_options(source, reduce=4, reduce_like=tmp_path / "x")
    with pytest.raises(SettingsError, match="1 or more"):
        with_options(source, reduce=0)
    with pytest.raises(SettingsError, match="no modality"):
        NpyImport(source.items, {})


def test_arrays_that_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    for array, message in [
        (np.ones(3, np.float32), "has shape"),
        (np.ones((3, 2), np.int8), "holds int8"),
        (np.ones((3, 2), np.complex64), "holds complex64"),
    ]:
        np.save(path, array)
        with pytest.raises(DataError, match=message):
            open_npy(path)
    with pytest.raises(DataError, match="there is no embedding file"):
        open_npy(tmp_path / "b.npy")


def test_files_that_are_not_whole(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((300, 20), np.float32))
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:60], whole[:3], b"", b"hello", whole.replace(b"<f4", b"|O8")):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"not a whole .npy file"):
            open_npy(path)
    with path.open("wb") as file:
        np.savez(file, a=np.ones((2, 2)))
    with pytest.raises(FormatError, match="npz archive"):
        open_npy(path)


@pytest.mark.parametrize("options", [{}, {"reduce": 4}])
def test_an_array_without_columns_is_refused(source, tmp_path, options):
    np.save(tmp_path / "text.npy", np.ones((ITEMS, 0), np.float32))
    with pytest.raises(DataError, match="the text embedding has no dimensions"):
        import_npy(with_options(source, **options), tmp_path / "out.parquet")
    assert not list(tmp_path.glob("*out.parquet*"))


def test_the_catalogue_may_not_replace_what_it_is_made_from(source, tmp_path):
    for out in (source.items, source.modalities["image"]):
        whole = out.read_bytes()
        with pytest.raises(DataError, match="would be lost"):
            import_npy(source, out)
        assert out.read_bytes() == whole
    with pytest.raises(DataError, match="is a folder"):
        import_npy(source, tmp_path)


def test_attributes_may_not_take_the_name_of_a_modality(source, tmp_path):
    with pytest.raises(DataError, match="attribute 'text' has the name of a modality"):
        write_catalogue(
            tmp_path / "out.parquet",
            Catalogue.build([1], {"text": [[1.0]]}, {"text": ["words"]}),
        )

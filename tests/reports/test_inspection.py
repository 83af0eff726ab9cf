from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from report_shop import ITEMS, Shop, encode, make_catalogue, titles

from mmq.cli import main
from mmq.data import Catalogue, CatalogueFile, read_catalogue, write_catalogue
from mmq.errors import DataError, FormatError
from mmq.metrics.quantisation import Reconstruction
from mmq.reports import _survey as survey_module
from mmq.reports._inspection import BY_CODES, inspect_table
from mmq.reports._page import write_report
from mmq.reports._similarity import ANY
from mmq.reports._sources import open_sources
from mmq.semantic_ids import SemanticIDs, catalogue_facts, inspect_ids, verdict
from mmq.tokenizers import MMQTokenizer, RQKMeansTokenizer


def test_table_alone(shop: Shop) -> None:
    found = inspect_table(shop.ids)
    quality = inspect_ids(SemanticIDs.read(shop.ids))
    assert found.verdict == verdict(quality)
    result = found.to_dict()
    assert {k: result[k] for k in quality.to_dict()} == quality.to_dict()
    assert result["warnings"] == []
    assert result.keys().isdisjoint({"catalogue", "fvu_by_modality", "item", "drift"})


def test_catalogue_and_tokenizer(shop: Shop) -> None:
    found = inspect_table(shop.ids, catalogue=shop.catalogue, tokenizer=shop.tokenizer)
    result = found.to_dict()
    assert result["catalogue"] == {"duplicates": 2, "missing": {"text": 0.0, "image": 1 / ITEMS}}
    assert (found.quality.lacking.items, found.quality.lacking.positions("image")) == (
        {"text": 0, "image": 1},
        [4, 5],
    )
    assert list(result["fvu_by_modality"]) == ["fit", "held_out", BY_CODES]
    assert list(result["shared_code_similarity"]) == [ANY, "shared", "text", "image"]
    assert result["warnings"] == []


def test_reconstruction_is_that_of_the_codes(shop: Shop) -> None:
    found = inspect_table(shop.ids, catalogue=shop.catalogue, tokenizer=shop.tokenizer)
    catalogue, tokenizer = read_catalogue(shop.catalogue), MMQTokenizer.load(shop.tokenizer)
    decoded = tokenizer.decode(tokenizer.encode(catalogue))
    for modality, matrix in catalogue.embeddings.items():
        unit = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
        part = Reconstruction.of(unit, decoded[modality], catalogue.present[modality])
        assert found.reconstruction[BY_CODES][modality] == pytest.approx(part.fvu, rel=1e-4)


def test_titles_and_pictures_belong_to_their_items(shop: Shop) -> None:
    found = inspect_table(shop.ids, catalogue=shop.catalogue, item="7")
    assert found.survey is not None
    pictures = read_catalogue(shop.catalogue).attributes.column("image_path").to_pylist()
    assert len(found.survey.shown) > 40
    for row, shown in found.survey.shown.items():
        assert shown.title == (titles(ITEMS)[row] or "")
        expected = pictures[row] and str(shop.catalogue.parent / pictures[row])
        assert shown.picture == expected


def test_the_survey_is_the_same_in_small_pieces(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = inspect_table(shop.ids, catalogue=shop.catalogue, tokenizer=shop.tokenizer)
    batches = CatalogueFile.batches
    monkeypatch.setattr(
        CatalogueFile, "batches", lambda self, **options: batches(self, size=7, **options)
    )
    pieces = inspect_table(shop.ids, catalogue=shop.catalogue, tokenizer=shop.tokenizer)
    assert pieces.to_dict() == whole.to_dict()
    assert pieces.survey is not None
    assert whole.survey is not None
    assert pieces.survey.shown == whole.survey.shown


def test_figures_are_measured_on_a_sample_of_large_catalogues(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module, "SAMPLE", 50)
    found = inspect_table(shop.ids, catalogue=shop.catalogue, tokenizer=shop.tokenizer)
    assert found.survey is not None
    assert len(found.survey.sample) == len(set(found.survey.rows.tolist())) == 50
    assert found.survey.rows.max() > 290
    assert found.survey.sample.item_ids.to_pylist() == found.survey.rows.tolist()
    facts = catalogue_facts(CatalogueFile(shop.catalogue).batches())
    assert found.quality.facts.duplicates == facts.duplicates  # of all items all the same


def test_item(shop: Shop) -> None:
    ids = SemanticIDs.read(shop.ids)
    item = inspect_table(shop.ids, catalogue=shop.catalogue, item="9").to_dict()["item"]
    assert item["item_id"] == 9
    assert item["title"] == titles(ITEMS)[9]
    assert tuple(item["semantic_id"]) == ids.of(9)
    assert [same["item_id"] for same in item["same_id"]] == ids.lookup(ids.of(9))
    assert {8, 9} <= {same["item_id"] for same in item["same_id"]}
    assert item["neighbours"][0]["shared_codes"] == ids.length
    shared = [near["shared_codes"] for near in item["neighbours"]]
    assert shared == sorted(shared, reverse=True)


def test_unknown_item_names_those_beside_it(shop: Shop) -> None:
    with pytest.raises(DataError, match=r"item '9999' .* nearest to it are 298, 299"):
        inspect_table(shop.ids, item="9999")


def test_drift(shop: Shop, tmp_path: Path) -> None:
    ids = SemanticIDs.read(shop.ids)
    codes = ids.codes.copy()
    codes[:30, 0] = (codes[:30, 0] + 1) % 8
    SemanticIDs.build(ids.item_ids, codes, ids.codebook_sizes, ids.manifest).write(tmp_path / "old")
    changes = inspect_table(shop.ids, against=tmp_path / "old").to_dict()["drift"]
    assert changes["changed"] == pytest.approx(0.1)
    assert changes["changed_positions"] == pytest.approx((0.1, 0, 0, 0, 0, 0))


def test_another_tokenizer_is_refused(shop: Shop, tmp_path: Path) -> None:
    other = MMQTokenizer(codebook_size=8, seed=1)
    other.fit(read_catalogue(shop.catalogue))
    other.save(tmp_path / "other")
    with pytest.raises(FormatError, match="give the tokenizer that made this table"):
        inspect_table(shop.ids, tokenizer=tmp_path / "other")


def test_a_catalogue_without_the_items_is_refused(shop: Shop, tmp_path: Path) -> None:
    catalogue = read_catalogue(shop.catalogue)
    write_catalogue(tmp_path / "less.parquet", catalogue.take(np.arange(2, ITEMS)))
    with pytest.raises(DataError, match=r"2 of the 300 items .* \(the first is 0\)"):
        inspect_table(shop.ids, catalogue=tmp_path / "less.parquet")


def test_item_ids_of_another_type_are_refused(shop: Shop, tmp_path: Path) -> None:
    catalogue = read_catalogue(shop.catalogue)
    names = catalogue.item_ids.cast(pa.string())
    renamed = type(catalogue)(names, catalogue.embeddings, catalogue.present, catalogue.attributes)
    write_catalogue(tmp_path / "named.parquet", renamed)
    with pytest.raises(DataError, match=r"item ids of .* are string"):
        inspect_table(shop.ids, catalogue=tmp_path / "named.parquet")


def test_another_catalogue_with_the_items_is_a_warning(shop: Shop, tmp_path: Path) -> None:
    write_catalogue(tmp_path / "more.parquet", make_catalogue(tmp_path, ITEMS + 20))
    sources = open_sources(shop.ids, tmp_path / "more.parquet", shop.tokenizer)
    assert "not the catalogue that the table was made from" in sources.warnings[0]
    assert "20 items of more.parquet have no semantic ID yet" in sources.warnings[1]
    found = inspect_table(shop.ids, catalogue=tmp_path / "more.parquet", tokenizer=shop.tokenizer)
    assert found.survey is not None
    assert found.survey.rows.max() < ITEMS


def test_items_that_left_the_catalogue_of_an_appended_table(shop: Shop, tmp_path: Path) -> None:
    """A table that was appended to names the new catalogue, and keeps rows of the old one."""
    write_catalogue(
        tmp_path / "next.parquet", read_catalogue(shop.catalogue).take(np.arange(10, ITEMS))
    )
    encode(tmp_path / "next.parquet", shop.tokenizer, tmp_path / "next_ids.parquet")
    old, new = SemanticIDs.read(shop.ids), SemanticIDs.read(tmp_path / "next_ids.parquet")
    SemanticIDs(old.item_ids, old.codes, old.rank, old.codebook_sizes, new.manifest).write(
        tmp_path / "both.parquet"
    )
    found = inspect_table(tmp_path / "both.parquet", catalogue=tmp_path / "next.parquet")
    assert found.sources.warnings == ("10 items of the table have left the catalogue",)


def test_a_table_made_by_hand(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 4, size=(20, 2))
    SemanticIDs.build([f"i{n}" for n in range(20)], codes, [4, 4]).write(tmp_path / "ids.parquet")
    found = inspect_table(tmp_path / "ids.parquet", item="i3")
    assert found.to_dict()["length"] == 2
    assert list(found.sources.groups) == ["codebook 1", "codebook 2"]


def test_a_modality_of_which_nothing_can_be_told(tmp_path: Path) -> None:
    """One item has it, so that there is no variance to explain; figures of the others stay."""
    rng = np.random.default_rng(0)
    rare = np.full((60, 3), np.nan)
    rare[7] = 1.0
    items = Catalogue.build(range(60), {"text": rng.normal(size=(60, 6)), "video": rare})
    write_catalogue(tmp_path / "c.parquet", items)
    tokenizer = RQKMeansTokenizer(codebook_size=4, length=2)
    tokenizer.fit(items, hold_out=0.1)
    tokenizer.save(tmp_path / "t")
    tokenizer.ids(items).write(tmp_path / "ids.parquet")
    found = inspect_table(
        tmp_path / "ids.parquet", catalogue=tmp_path / "c.parquet", tokenizer=tmp_path / "t"
    )
    assert list(found.reconstruction["held_out"]) == ["text"]
    write_report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<td>nan" not in page
    assert main(["inspect", str(tmp_path / "ids.parquet"), "--tokenizer", str(tmp_path / "t")]) == 0


def test_a_catalogue_of_other_items(tmp_path: Path) -> None:
    SemanticIDs.build(range(100, 120), [[0, 0]] * 20, [4, 4]).write(tmp_path / "ids.parquet")
    rng = np.random.default_rng(0)
    others = Catalogue.build(range(20), {"text": rng.normal(size=(20, 3))})
    write_catalogue(tmp_path / "c.parquet", others)
    with pytest.raises(DataError, match="has none of the items of the table"):
        inspect_table(tmp_path / "ids.parquet", catalogue=tmp_path / "c.parquet")
    more = Catalogue.build(range(101), {"text": rng.normal(size=(101, 3))})
    write_catalogue(tmp_path / "c.parquet", more)
    found = inspect_table(tmp_path / "ids.parquet", catalogue=tmp_path / "c.parquet")
    assert found.sources.warnings[0] == "19 items of the table are not in the catalogue"

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_shop import ITEMS, Shop, titles

from mmq.errors import DataError
from mmq.reports import _page as page_module
from mmq.reports._inspection import Inspection, inspect_table
from mmq.reports._page import WHOLE, Probes, write_report
from mmq.semantic_ids import SemanticIDs

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags close in order and keeps texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def texts_of(self, part: str) -> list[str]:
        return [text for text in self.texts if part in text]


@pytest.fixture(scope="module")
def found(shop: Shop) -> Inspection:
    return inspect_table(
        shop.ids, catalogue=shop.catalogue, tokenizer=shop.tokenizer, against=shop.ids
    )


@pytest.fixture(scope="module")
def text(found: Inspection, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(found, path)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text("utf-8")


def test_every_section_is_there(text: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "What a semantic ID looks like",
        "How the codes are used",
        "What the codes keep of the embeddings",
        "What single codes mean",
        "Items that share an ID",
        "What changed since the older table",
        "How to read the figures",
    ]


def test_the_verdict_comes_first(text: str, found: Inspection) -> None:
    page = Page(text)
    assert found.verdict.grade in page.texts
    for sentence in found.verdict.sentences:
        assert page.texts_of(sentence.removeprefix(f"{found.verdict.grade}: "))
    assert text.index(f">{found.verdict.grade}<") < text.index("<h2>")


def test_one_file_without_a_network(text: str) -> None:
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/")
    assert "url(" not in text
    assert "<script" not in text
    assert "<link" not in text


def test_pictures_have_words_and_missing_ones_a_tile(text: str, found: Inspection) -> None:
    page = Page(text)
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert all(picture["alt"] for picture in pictures)
    assert sum((p["src"] or "").startswith("data:image/jpeg") for p in pictures) > 5
    assert page.texts.count("no picture") > 5  # gone, damaged, a web address, or none at all


def test_titles_are_text_not_markup(text: str, found: Inspection) -> None:
    page = Page(text)
    row = next(r for r in found.examples.codes[0].rows.tolist() if titles(ITEMS)[r])
    assert titles(ITEMS)[row] in page.texts
    assert "<b>" not in text.split("What single codes mean")[1].split("</section>")[0]


def test_every_code_of_an_item_is_shown_in_the_colour_of_its_group(
    text: str, found: Inspection
) -> None:
    row = int(found.examples.items[0])
    codes = found.ids.codes[row].tolist()
    chips = "".join(
        rf'<span style="--c: {colour}" title="{name} {number}">{code}</span>'
        for (colour, name, number), code in zip(
            [
                (page_module.SHARED, "shared", 1),
                (page_module.SHARED, "shared", 2),
                (page_module.MODALITIES[0], "text", 1),
                (page_module.MODALITIES[0], "text", 2),
                (page_module.MODALITIES[1], "image", 1),
                (page_module.MODALITIES[1], "image", 2),
            ],
            codes,
            strict=True,
        )
    )
    assert chips in text


def test_equal_inspections_give_equal_bytes(found: Inspection, text: str, tmp_path: Path) -> None:
    write_report(found, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text("utf-8") == text


def test_probes_name_the_best_group(found: Inspection, tmp_path: Path) -> None:
    row = {"shared": 0.25, "text": 0.875, "image": 0.5, WHOLE: 0.9375, "chance": 0.125}
    write_report(found, tmp_path / "r.html", Probes({"maker": row}, {"maker": "text"}))
    text = (tmp_path / "r.html").read_text("utf-8")
    Page(text)
    assert re.findall(r'class="best"[^>]*>([\d.]+%)', text) == ["87.5%"]
    for value in ("25.0%", "50.0%", "93.8%", "12.5%"):
        assert value in text


def test_a_table_alone_has_a_report_too(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 3, size=(9, 2))
    SemanticIDs.build([f"<i>{n}" for n in range(9)], codes, [3, 5]).write(tmp_path / "ids.parquet")
    write_report(inspect_table(tmp_path / "ids.parquet"), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    page = Page(text)
    assert page.texts_of("codebook 2")
    assert any(item in page.texts for item in [f"<i>{n}" for n in range(9)])
    assert "no picture" not in page.texts
    assert "What single codes mean" not in text


def test_a_table_without_collisions(tmp_path: Path) -> None:
    SemanticIDs.build(range(4), [[0], [1], [2], [3]], [4]).write(tmp_path / "ids.parquet")
    write_report(inspect_table(tmp_path / "ids.parquet"), tmp_path / "r.html")
    assert "every item has a semantic ID of its own" in (tmp_path / "r.html").read_text("utf-8")


def test_a_failure_leaves_the_old_report(
    found: Inspection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(DataError, match="the disk is full"):
        write_report(found, path)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["report.parquet", "report", "folder.html"])
def test_only_html_files_are_written(found: Inspection, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(DataError, match=r"--report|is a folder"):
        write_report(found, tmp_path / name)

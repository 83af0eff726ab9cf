"""The report of a reproduction, on results made up here with every odd case that may come."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from experiments.paper.plots import draw, save, series_colours
from experiments.paper.report import write_paper, write_tables
from mmq.errors import DataError

VOID = {"meta", "img", "br", "link", "input", "hr"}
ODD = 'A<b>&"C" $x$'
METHODS = [
    "MA-RQ-VAE", "MS-RQ-VAE", "MA-RQ-KMeans", "MS-RQ-KMeans", "MA-OPQ", "MS-OPQ", "MMQ",
    "MMQ, no shared experts", "MMQ, no orthogonality", "MMQ, no auxiliary loss",
    "MMQ, frozen IDs", "Item ID", "SASRec", ODD,
]  # fmt: skip
COLUMNS = [
    ("l_recon", "L_recon", "Quantisation", "lower", 4),
    ("fvu", "FVU", "Quantisation", "lower", 3),
    ("entropy", "Entropy", "Quantisation", "higher", 3),
    ("utilisation", "Utilisation", "Quantisation", "higher", 3),
    ("collisions", "Collisions", "Quantisation", None, 0),
    ("recall@5", "R@5", "Retrieval", "higher", 4),
    ("recall@10", "R@10", "Retrieval", "higher", 4),
    ("ndcg@5", "N@5", "Retrieval", "higher", 4),
    ("ndcg@10", "N@10", "Retrieval", "higher", 4),
    ("id_recall@10", "R@10 of IDs", "Retrieval", "higher", 4),
    ("auc", "AUC", "Ranking", "higher", 4),
    ("gauc", "GAUC", "Ranking", "higher", 4),
    ("logloss", "Log loss", "Ranking", "lower", 4),
    ("ece", "ECE", "Ranking", "lower", 4),
]
SCALES = dict(zip([key for key, *_ in COLUMNS],
                  [1.2, 0.4, 4.9, 0.8, 1234, 0.05, 0.09, 0.03, 0.045, 0.1, 0.7, 0.68, 0.5, 0.02],
                  strict=True))  # fmt: skip


def made_up_test(generator: np.random.Generator, mean: float) -> dict[str, float]:
    """A paired test as it comes from JSON."""
    difference, margin = mean * generator.normal(size=2) / 10
    low, high = difference - abs(margin), difference + abs(margin)
    p = float(generator.random() ** 3)
    return {"difference": float(difference), "low": float(low), "high": float(high), "p": p}


def made_up(seeds: int = 3) -> dict[str, Any]:
    """Results as they come from JSON."""
    generator = np.random.default_rng(0)

    def figure(scale: float) -> dict[str, Any]:
        values = scale * (1 + 0.15 * generator.standard_normal() + 0.02 * generator.random(seeds))
        sd = float(values.std(ddof=1)) if seeds > 1 else None
        return {"mean": float(values.mean()), "sd": sd, "values": values.tolist()}

    def row(name: str, keys: list[str]) -> dict[str, Any]:
        figures: dict[str, Any] = {key: figure(SCALES[key]) for key in keys}
        if name in ("Item ID", "SASRec"):  # they have no codes
            figures |= dict.fromkeys(keys[:5])
        tested = [key for key in keys[5:] if name != "MMQ"]
        against = {key: made_up_test(generator, figures[key]["mean"]) for key in tested}
        return {"name": name, "figures": figures, "against": against}

    def table(title: str, about: str, names: list[str], columns: list[Any]) -> dict[str, Any]:
        fields = ("key", "title", "group", "better", "digits")
        return {
            "title": title,
            "about": about,
            "compared_with": "MMQ",
            "columns": [dict(zip(fields, column, strict=True)) for column in columns],
            "rows": [row(name, [column[0] for column in columns]) for name in names],
        }

    def series(name: str, length: int, scale: float, rise: float = 0.0) -> dict[str, Any]:
        values = scale * (1 + rise * np.arange(length) + 0.2 * generator.random(length))
        spread = [0.03 * scale] * length if seeds > 1 else [None] * length
        return {"name": name, "values": values.tolist(), "sd": spread}

    def panel(kind: str, title: str, x: list[Any], names: list[str], **labels: Any) -> Any:
        rise = 0.1 if kind == "lines" else 0.0
        return {"title": title, "kind": kind, "x": x, "x_label": "", "y_label": ""} | labels | {
            "series": [series(name, len(x), 0.04 + 0.01 * n, rise) for n, name in enumerate(names)]
        }  # fmt: skip

    popular = [
        panel("bars", f"R@10 of {which} items", METHODS[:7], [""], y_label="R@10")
        for which in ("popular", "long-tail")
    ]
    for each in popular:
        each["series"][0]["name"] = "R@10"
    popular[1]["series"][0]["values"][2] = popular[1]["series"][0]["sd"][2] = None
    figures = {
        "figure3": {"title": "Figure 3: Popular and long-tail items", "about": "Recall@10 of the "
                    "tenth of the items with most interactions, and of all others.",
                    "panels": popular},
        "figure4": {"title": "Figure 4: Behaviour-aware fine-tuning", "about":
                    "Each tokenizer with frozen IDs, and with stage 2.", "panels": [
            panel("bars", f"Best {label}", ["MA-RQ-VAE", "MMQ"], ["frozen", "fine-tuned"],
                  y_label=label) for label in ("NDCG@10", "AUC")]},
        "figure5": {"title": "Figure 5: Length of the ID", "about": "Codes of an ID.", "panels": [
            panel("lines", title, [6, 9, 12, 15], ["MMQ", "MA-RQ-VAE", "MS-OPQ", ODD],
                  x_label="codes", y_label=title)
            for title in ("Recall@10", "AUC", "L_recon")]},
        "figure6": {"title": "Figure 6: Shared experts", "about": "", "panels": [
            panel("lines", title, [0, 2, 4, 6], ["MMQ"], x_label="shared experts", y_label=title)
            for title in ("Recall@10", "NDCG@10", "AUC", "GAUC")]},
    }  # fmt: skip
    figures["figure5"]["panels"][0]["series"][1]["values"][2] = None
    figures["figure5"]["panels"][0]["series"][3]["values"] = [None] * 4
    return json.loads(json.dumps({
        "format": 1,
        "data": {"name": "toys & <shop>", "items": 800, "users": 2000, "interactions": 12345,
                 "modalities": {"text": 64, "image": 64}, "ranking_rows": 30000},
        "scale": "small",
        "seeds": list(range(seeds)),
        "settings": {"tokenizer": {"latent_dim": 32, "codebook_sizes": [64, 64], "experts":
                     {"shared": 2, "specific": {"text": 2, "image": 2}}, "noise": None},
                     "retrieval": {"epochs": 12, "learning_rate": 0.001, "tied": True}, "none": {}},
        "provenance": {"commit": "5c887de0123456789", "mmq": "0.1.0", "python": "3.11.9",
                       "versions": {"torch": "2.13.0"}, "cores": 2, "processor": "x", "threads": 1},
        "cells": {"done": 81, "failed": [{"cell": f"retrieval {ODD} 0", "error": "memory ran out"}],
                  "left": 2, "seconds": 512.3},
        "tables": {
            "table1": table("Table 1: Overall results", "Every tokenizer with both fusions, by its "
                            "codes and by the recommenders that speak them.", METHODS, COLUMNS),
            "table2": table("Table 2: What each part brings", "MMQ with one part left out.",
                            [name for name in METHODS if name.startswith("MMQ")], COLUMNS[5:11]),
        },
        "figures": figures,
        "claims": [
            {"of": "table1", "claim": "MMQ reconstructs better than every baseline",
             "verdict": "does not hold",
             "why": "L_recon of MMQ is 1.2313, the best baseline's (MS-OPQ) 1.1021.",
             "paper": "0.0041 against 0.0052 of the best baseline"},
            {"of": "table1", "claim": "MMQ retrieves better than every baseline",
             "verdict": "holds",
             "why": "R@10 is 0.0912 against 0.0871 of MA-RQ-VAE (p = 0.012, 3 seeds).",
             "paper": "R@10 0.0795 against 0.0703"},
            {"of": "figure5", "claim": f"Longer IDs help {ODD}", "verdict": "not decidable",
             "why": "The run of 15 codes failed.", "paper": None},
            {"of": "figure9", "claim": "What is not here", "verdict": "holds", "why": "So.",
             "paper": None},
        ],
    }))  # fmt: skip


class Page(HTMLParser):
    """Elements with their attributes and texts; checks that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root: dict[str, Any] = {"tag": "", "attrs": {}, "inner": []}
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element: dict[str, Any] = {"tag": tag, "attrs": dict(attrs), "inner": []}
        self.open[-1]["inner"].append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data: str) -> None:
        self.open[-1]["inner"].append(data)


def all_of(element: Any, tag: str, **attributes: str) -> list[Any]:
    """Elements within, at any depth; ``class_`` matches one class of several."""
    found: list[Any] = []
    for each in element["inner"]:
        if isinstance(each, str):
            continue
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        if each["tag"] == tag and all(
            value in (each["attrs"].get(name) or "").split() for name, value in wanted.items()
        ):
            found.append(each)
        found += all_of(each, tag, **attributes)
    return found


def words(element: Any) -> str:
    parts = (each if isinstance(each, str) else words(each) for each in element["inner"])
    return " ".join("".join(parts).split())


def page_of(results: Any, folder: Path) -> Page:
    return Page(write_paper(results, folder).read_text("utf-8"))


def cells(page: Page, table: str) -> dict[tuple[str, int], Any]:
    """The cells of a table by name of the row and number of the column."""
    [section] = all_of(page.root, "section", id=table)
    [body] = all_of(section, "tbody")
    return {
        (words(all_of(row, "th")[0]), column): cell
        for row in all_of(body, "tr")
        for column, cell in enumerate(all_of(row, "td"))
    }


def edit(change: Callable[[Any], Any], seeds: int = 3) -> dict[str, Any]:
    """Results with something changed, and only one panel, since drawing takes its time."""
    results = made_up(seeds)
    panels = results["figures"]["figure6"]["panels"][:1]
    results["figures"] = {"figure3": results["figures"]["figure6"] | {"panels": panels}}
    change(results)
    return results


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return made_up()


@pytest.fixture(scope="module")
def folder(results: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("paper") / "new"
    assert write_paper(results, path) == path / "report.html"
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text("utf-8"))


def test_the_files(folder: Path) -> None:
    pictures = {f"figure{n}{suffix}" for n in range(3, 7) for suffix in (".png", ".svg")}
    expected = pictures | {"table1.csv", "table2.csv", "report.html"}
    assert {path.name for path in folder.iterdir()} == expected


def test_one_page_without_a_network_or_scripts(page: Page, folder: Path) -> None:
    text = (folder / "report.html").read_text("utf-8")
    assert not any(part in text for part in ("<script", "<link", "url(", "@import"))
    assert all(
        each["attrs"]["src"].startswith("data:image/svg+xml") for each in all_of(page.root, "img")
    )
    targets = {
        each["attrs"]["id"] for each in all_of(page.root, "section") if "id" in each["attrs"]
    }
    links = [each["attrs"]["href"] for each in all_of(page.root, "a")]
    contents = ["#table1", "#table2", *(f"#figure{n}" for n in range(3, 7))]
    assert links == [*contents, "#table1", "#table1", "#figure5"]
    assert {link.removeprefix("#") for link in links} <= targets


def test_bold_is_the_best_of_every_column(page: Page, results: dict[str, Any]) -> None:
    rows, found = results["tables"]["table1"]["rows"], cells(page, "table1")
    for number, (key, _, _, better, digits) in enumerate(COLUMNS):
        means = {row["name"]: row["figures"][key]["mean"] for row in rows if row["figures"][key]}
        bold = {
            name for name, column in found if column == number and all_of(found[name, column], "b")
        }
        if better is None:
            assert bold == set()
            continue
        best = (max if better == "higher" else min)(means.values())
        assert bold == {
            name for name, mean in means.items() if round(mean, digits) == round(best, digits)
        }


def test_arrows_tell_which_rows_differ_from_the_one_compared_with(
    page: Page, results: dict[str, Any]
) -> None:
    rows = {row["name"]: row for row in results["tables"]["table1"]["rows"]}
    expected = {}
    for name, row in rows.items():
        for number, (key, _, _, better, _) in enumerate(COLUMNS):
            test = row["against"].get(key)
            if better and test and test["p"] < 0.05:
                higher = test["difference"] > 0
                expected[name, number] = "better" if higher == (better == "higher") else "worse"
    assert {"better", "worse"} <= set(expected.values())
    signs = {place: all_of(cell, "i") for place, cell in cells(page, "table1").items()}
    assert {place: sign[0]["attrs"]["class"] for place, sign in signs.items() if sign} == expected
    shown = {sign[0]["attrs"]["class"]: words(sign[0]) for sign in signs.values() if sign}
    assert shown == {"better": "\u25b2", "worse": "\u25bc"}


@pytest.mark.parametrize(
    ("better", "difference", "p", "sign"),
    [
        ("higher", 1.0, 0.049, "better"),
        ("higher", -1.0, 0.049, "worse"),
        ("lower", -1.0, 0.0, "better"),
        ("lower", 1.0, 0.0, "worse"),
        ("lower", 1.0, 0.05, None),
        ("lower", None, None, None),
        (None, 1.0, 0.01, None),
    ],
)
def test_single_arrows(
    tmp_path: Path, better: Any, difference: float | None, p: float | None, sign: Any
) -> None:
    def figure(mean: float) -> Any:
        return {"mean": mean, "sd": None, "values": [mean]}

    against: Any = {}
    if difference is not None:
        ends = {"low": difference - 0.25, "high": difference + 0.25}
        against["k"] = {"difference": difference, **ends, "p": p}
    column = {"key": "k", "title": "K", "group": None, "better": better, "digits": 1}
    table = {
        "title": "T", "about": "", "compared_with": "MMQ", "columns": [column],
        "rows": [{"name": "MMQ", "figures": {"k": figure(3.0)}},
                 {"name": "other", "figures": {"k": figure(2.0)}, "against": against}],
    }  # fmt: skip
    made = edit(lambda r: r.update(tables={"t": table}, figures={}, claims=[]))
    cell = cells(page_of(made, tmp_path), "t")["other", 0]
    assert [each["attrs"]["class"] for each in all_of(cell, "i")] == ([sign] if sign else [])
    if difference is not None:
        low, high = ends.values()
        note = f"{low:+.1f} to {high:+.1f} against MMQ, p = {p:.2g}"
        assert note in cell["attrs"]["title"]


def test_a_cell_has_its_mean_and_its_deviation(page: Page, results: dict[str, Any]) -> None:
    figure = results["tables"]["table1"]["rows"][0]["figures"]["recall@10"]
    cell = cells(page, "table1")["MA-RQ-VAE", 6]
    assert words(all_of(cell, "small")[0]) == f"\u00b1{figure['sd']:.4f}"
    assert f"{figure['mean']:.4f}" in words(cell)
    assert all(f"{value:.4f}" in cell["attrs"]["title"] for value in figure["values"])


def test_what_is_null_is_a_dash(page: Page) -> None:
    found = cells(page, "table1")
    assert all(words(found["SASRec", column]) == "\u2013" for column in range(5))
    assert words(found["SASRec", 5]) != "\u2013"


def test_heads_span_the_columns_of_their_groups(page: Page) -> None:
    [section] = all_of(page.root, "section", id="table1")
    upper, lower = all_of(all_of(section, "thead")[0], "tr")
    assert [(words(each), each["attrs"]["colspan"]) for each in all_of(upper, "th")] == [
        ("Quantisation", "5"), ("Retrieval", "5"), ("Ranking", "4"),
    ]  # fmt: skip
    titles = [words(each) for each in all_of(lower, "th")]
    assert titles[0] == "L_recon \u2193"
    assert titles[4] == "Collisions"
    assert titles[5] == "R@5 \u2191"


def test_names_are_text_not_markup(page: Page) -> None:
    assert words(all_of(page.root, "h1")[0]) == "The MMQ paper, reproduced on toys & <shop>"
    assert (ODD, 0) in cells(page, "table1")
    assert any(ODD in words(each) for each in all_of(page.root, "p", class_="claim"))
    assert any(ODD in words(each) for each in all_of(page.root, "li"))


def test_verdicts_come_first_with_their_colours(page: Page) -> None:
    assert words(all_of(page.root, "h2")[0]) == "What holds"
    shown = [
        (words(each), each["attrs"]["class"]) for each in all_of(page.root, "span", class_="word")
    ]
    assert shown == [
        ("does not hold", "word poor"),
        ("holds", "word good"),
        ("not decidable", "word fair"),
        ("holds", "word good"),
    ]
    text = words(page.root)
    assert "the paper's and our own, 2 hold, 1 does not hold and 1 cannot be decided" in text
    assert "In the paper: R@10 0.0795 against 0.0703" in text
    assert text.count("In the paper:") == 2


def test_warnings(page: Page, tmp_path: Path) -> None:
    shown = [words(each) for each in all_of(page.root, "div", class_="warning")]
    assert len(shown) == 3
    assert "small run on toys & <shop> tell how the software works" in shown[0]
    assert shown[1].startswith("1 of 84 runs failed.")
    assert shown[2].startswith("2 of 84 runs are still to be done.")
    whole = edit(
        lambda r: r.update(scale="full", cells={"done": 1, "failed": [], "left": 0, "seconds": 9})
    )
    assert not all_of(page_of(whole, tmp_path).root, "div", class_="warning")


def test_settings_and_provenance_are_folded_and_flat(page: Page) -> None:
    settings, provenance = all_of(page.root, "details")
    pairs = dict(
        zip(map(words, all_of(settings, "dt")), map(words, all_of(settings, "dd")), strict=True)
    )
    assert pairs["tokenizer.codebook_sizes"] == "64, 64"
    assert pairs["tokenizer.experts.specific.image"] == "2"
    assert pairs["tokenizer.noise"] == "null"
    assert pairs["retrieval.tied"] == "true"
    assert "versions.torch" in words(provenance)


def test_csv_round_trip(folder: Path, results: dict[str, Any]) -> None:
    with (folder / "table1.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert list(rows) == METHODS
    for row in results["tables"]["table1"]["rows"]:
        for key, figure in row["figures"].items():
            for part in ("mean", "sd"):
                text = rows[row["name"]][f"{key} {part}"]
                assert (float(text) if text else None) == (figure[part] if figure else None)
            for part in ("difference", "low", "high", "p"):
                text = rows[row["name"]][f"{key} {part}"]
                found = row["against"].get(key)
                assert (float(text) if text else None) == (found[part] if found else None)


def test_one_seed_has_no_deviations(tmp_path: Path) -> None:
    page = page_of(edit(lambda r: None, seeds=1), tmp_path)
    assert not all_of(page.root, "small")
    assert "One seed, so no deviation is known" in words(page.root)
    assert "Whiskers" not in words(page.root)


def test_captions_explain_what_is_there_only(page: Page) -> None:
    def caption(name: str) -> str:
        [section] = all_of(page.root, "section", id=name)
        return words([*all_of(section, "p", class_="caption"), *all_of(section, "figcaption")][0])

    assert "\u2013: not measured" in caption("table1")
    assert "not measured" not in caption("table2")
    assert "significantly better, worse than MMQ" in caption("table1")
    assert "Gaps" in caption("figure5")
    assert "Gaps" not in caption("figure6")
    assert "one standard deviation over 3 seeds" in caption("figure6")


@pytest.mark.parametrize(
    "kinds", [("tables", "figures", "claims"), ("tables",), ("figures", "claims")]
)
def test_what_is_absent_is_left_out(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    page = page_of(edit(lambda r: [r.pop(kind) for kind in kinds]), tmp_path)
    headings = " ".join(words(each) for each in all_of(page.root, "h2"))
    assert ("Table 1" in headings) == ("tables" not in kinds)
    assert ("Figure" in headings) == ("figures" not in kinds)
    assert ("What holds" in headings) == ("claims" not in kinds)
    assert all(path.suffix != ".csv" for path in tmp_path.iterdir()) == ("tables" in kinds)


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_paper(edit(lambda r: None), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "other" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("method", ["write_text", "write_bytes"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "figure3.png").write_text("old")

    def full(path: Path, content: Any, *arguments: Any) -> None:
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, method, full)
    with pytest.raises(DataError, match="the disk is full"):
        write_paper(edit(lambda r: None), tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "report.html").read_text() == "old"
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    if method == "write_bytes":
        assert (tmp_path / "figure3.png").read_text() == "old"
        assert not (tmp_path / "figure3.svg").exists()


def test_a_full_disk_leaves_no_half_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> Any:
        yield ["row"]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("experiments.paper.report._csv_rows", full)
    with pytest.raises(DataError, match=r"the disk is full: .*table1\.csv"):
        write_tables(made_up(), tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_every_figure_of_a_bar_panel_is_drawn(results: dict[str, Any]) -> None:
    for name in ("figure3", "figure4"):
        figure = results["figures"][name]
        for axes, panel in zip(draw(figure).axes, figure["panels"], strict=True):
            drawn = {bars.get_label(): bars for bars in axes.containers if hasattr(bars, "patches")}
            for each in panel["series"]:
                heights = [bar.get_height() for bar in drawn[each["name"]].patches]
                assert heights == [value for value in each["values"] if value is not None]
            dashes = sum(text.get_text() == "\u2013" for text in axes.texts)
            assert dashes == sum(each["values"].count(None) for each in panel["series"])
            assert [text.get_text() for text in axes.get_xticklabels()] == panel["x"]
            assert axes.get_title(loc="left") == panel["title"]
            assert axes.get_ylim()[0] == 0


def test_every_line_of_a_panel_is_drawn(results: dict[str, Any]) -> None:
    figure = results["figures"]["figure5"]
    for axes, panel in zip(draw(figure).axes, figure["panels"], strict=True):
        drawn = {line.get_label(): line for line in axes.lines if line.get_marker() not in "_|"}
        for each in panel["series"]:
            line = drawn[each["name"]]
            np.testing.assert_array_equal(line.get_xdata(), panel["x"])
            expected = [np.nan if value is None else value for value in each["values"]]
            np.testing.assert_array_equal(line.get_ydata(), expected)
            assert line.get_markersize() > 0
        whiskers = sum(len(part.get_segments()) for part in axes.collections)
        assert whiskers == sum(
            v is not None and s is not None
            for each in panel["series"]
            for v, s in zip(each["values"], each["sd"], strict=True)
        )


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_panels_wrap_and_the_legend_is_one(results: dict[str, Any], count: int) -> None:
    panel = results["figures"]["figure5"]["panels"][0]
    drawn = draw({"panels": [panel] * count})
    drawn.draw_without_rendering()
    rows = {round(axes.get_position().y0, 3) for axes in drawn.axes}
    columns = {round(axes.get_position().x0, 3) for axes in drawn.axes}
    expected = {0: (0, 0), 1: (1, 1), 3: (1, 3), 4: (2, 2), 5: (2, 3)}
    assert (len(rows), len(columns)) == expected[count]
    assert len(drawn.legends) == (count > 0)
    for legend in drawn.legends:
        assert [text.get_text() for text in legend.get_texts()] == [
            "MMQ",
            "MA-RQ-VAE",
            "MS-OPQ",
            ODD,
        ]


def test_the_legend_names_the_series_of_all_panels_as_they_are(results: dict[str, Any]) -> None:
    panels = [results["figures"][name]["panels"][0] for name in ("figure4", "figure5")]
    drawn = draw({"panels": panels})
    texts = drawn.legends[0].get_texts()
    names = ["frozen", "fine-tuned", "MMQ", "MA-RQ-VAE", "MS-OPQ", ODD]
    assert [text.get_text() for text in texts] == names
    assert not any(text.get_parse_math() for text in texts)


def test_names_below_an_axis_are_turned_where_they_have_no_room(results: dict[str, Any]) -> None:
    def turned(panels: list[Any]) -> set[float]:
        [axes, *_] = draw({"panels": panels}).axes
        return {label.get_rotation() for label in axes.get_xticklabels()}

    wide, short = (results["figures"][name]["panels"][0] for name in ("figure3", "figure4"))
    assert turned([short]) == {0}
    assert turned([wide, wide]) == {30}
    assert turned([wide | {"x": METHODS, "series": []}] * 3) == {60}


def test_bars_below_zero_and_their_values(results: dict[str, Any]) -> None:
    panel = results["figures"]["figure4"]["panels"][0]
    series = [{"name": "s", "values": [-0.5, 0.25], "sd": [0.1, None]}]
    [axes] = draw({"panels": [panel | {"series": series}]}).axes
    low, high = axes.get_ylim()
    assert low < -0.6
    assert high > 0.25
    shown = {text.get_text(): text.xy[1] for text in axes.texts}
    assert shown == {"-0.500": pytest.approx(-0.6), "0.250": 0.25}


@pytest.mark.parametrize(
    ("x", "places"),
    [
        ([6, 9, 12], [6, 9, 12]),
        ([2, 4, 1024], [0, 1, 2]),
        ([9, 6], [0, 1]),
        (["a", "b"], [0, 1]),
        ([5], [0]),
        ([], []),
    ],
)
def test_where_points_stand(x: list[Any], places: list[float]) -> None:
    series = [{"name": "s", "values": [0.5] * len(x), "sd": None}]
    panel = {"title": "", "kind": "lines", "x_label": "", "y_label": "", "x": x, "series": series}
    [axes] = draw({"panels": [panel]}).axes
    assert axes.lines[0].get_xdata().tolist() == places
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(each) for each in x]


def test_a_name_has_one_colour_in_all_figures_and_its_own_in_each() -> None:
    def figure(*names: str) -> dict[str, Any]:
        return {"panels": [{"series": [{"name": name}]} for name in names]}

    figures = [figure("a", "b"), figure("c"), figure("c", "b", "MMQ"), figure(*map(str, range(20)))]
    colours = series_colours(figures, ["MMQ"])
    assert colours["MMQ"] == colours["a"] == colours["0"] == "#23877a"  # never side by side
    assert len({colours[name] for name in ("c", "b", "MMQ")}) == 3
    assert len({colours[str(number)] for number in range(20)}) == 20


def test_the_colours_handed_in_are_those_drawn(results: dict[str, Any]) -> None:
    drawn = draw(results["figures"]["figure4"], {"frozen": "#112233", "fine-tuned": "#445566"})
    for axes in drawn.axes:
        bars = [each for each in axes.containers if hasattr(each, "patches")]
        assert [to_hex(each.patches[0].get_facecolor()) for each in bars] == ["#112233", "#445566"]


def test_saved_pictures(results: dict[str, Any], tmp_path: Path) -> None:
    uri = save(draw(results["figures"]["figure6"]), tmp_path, "f")
    kind, _, data = uri.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data) == (tmp_path / "f.svg").read_bytes()
    assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    assert isinstance(draw({"panels": []}), Figure)

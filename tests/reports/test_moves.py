"""The page of a fine-tuning: what moved, and whether rightly."""

import html
import re

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mmq.data import Catalogue, CatalogueFile, write_catalogue
from mmq.finetuning import FinetuneFit
from mmq.reports._moves import nearness, pairs, write_moves
from mmq.reports._template import percent
from mmq.semantic_ids import SemanticIDs

ITEMS, LENGTH, SIZE = 24, 3, 4
FIGURES = {"ndcg@10": 0.1, "recall@10": 0.2, "items_moved": 0.0, "codes_moved": 0.0,
           "colliding": 0.25, "l_recon": 0.8, "fvu": 0.5, "utilisation": 0.75}  # fmt: skip


class Log:
    """What a model learned from: user ``u`` likes the items of group ``u % 4``."""

    def __init__(self, users=48, item_ids=range(ITEMS), twice=False):
        self.item_ids = pa.array(list(item_ids))
        liked = [(u, i) for u in range(users) for i in range(ITEMS) if (u + i) % 4 == 0]
        self.pairs = np.array(liked * (1 + twice), np.int64).reshape(-1, 2)

    def positives(self):
        return self.pairs[:, 0], self.pairs[:, 1]

    def fingerprint(self):
        return "a log"


def content():
    return np.random.default_rng(0).integers(0, SIZE, (ITEMS, LENGTH)).astype(np.int32)


def behaviour():
    """Codes that tell the groups: two of three codes are the group's."""
    codes = content()
    codes[:, :2] = (np.arange(ITEMS) % 4)[:, None]
    return codes


def fit(before, after, best_epoch=2, **figures):
    log = [{**FIGURES, "epoch": n, "loss": 1.0, "items_moved": n / 4} for n in (1, 2, 3)]
    log.append({"epoch": 1, "refit": 1.0, "ndcg@10": 0.3, "loss": 1.0})
    kept = {**FIGURES, "ndcg@10": 0.1234, "fvu": 0.625, "colliding": 0.125, **figures}
    return FinetuneFit(FIGURES, kept, best_epoch, log, before, after, 1.0)


def shop(folder, attributes=None, items=ITEMS):
    embeddings = {"text": np.random.default_rng(1).normal(size=(items, 3))}
    write_catalogue(
        folder / "catalogue.parquet", Catalogue.build(range(items), embeddings, attributes or {})
    )
    return CatalogueFile(folder / "catalogue.parquet")


def page(folder, before=None, after=None, log=None, attributes=None, **figures):
    before = content() if before is None else before
    after = behaviour() if after is None else after
    ids = SemanticIDs.build(range(ITEMS), after, [SIZE] * LENGTH)
    file = shop(folder, attributes)
    write_moves(folder / "page.html", ids, fit(before, after, **figures), log or Log(), file)
    return (folder / "page.html").read_text("utf-8")


def text(written):
    """What people read of it."""
    plain = re.sub(r"<(style|title)>.*?</\1>|<[^>]+>", " ", written, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(plain))


# --- what is counted ---


def test_likeness_is_the_cosine_of_users_and_codes_are_counted():
    generator = np.random.default_rng(0)
    before, after = content(), behaviour()
    log = Log()
    log.pairs = np.unique(generator.integers(0, [30, ITEMS], (400, 2)), axis=0)
    ids = SemanticIDs.build(range(ITEMS), after, [SIZE] * LENGTH)
    near = nearness(ids, fit(before, after), log)
    fans = {i: {u for u, j in log.pairs.tolist() if j == i} for i in range(ITEMS)}
    assert near.rows.tolist() == [i for i in range(ITEMS) if len(fans[i]) >= 5]
    for a, i in enumerate(near.rows.tolist()):
        for b, j in enumerate(near.rows.tolist()):
            both = len(fans[i] & fans[j])
            assert near.common[a, b] == both
            assert near.alike[a, b] == pytest.approx(both / (len(fans[i]) * len(fans[j])) ** 0.5)
            assert near.before[a, b] == sum(
                x == y for x, y in zip(before[i], before[j], strict=True)
            )
            assert near.after[a, b] == sum(x == y for x, y in zip(after[i], after[j], strict=True))
    alike, number = near.by_codes(near.after)
    assert number.sum() == len(near.rows) * (len(near.rows) - 1) / 2
    of_two = [
        near.alike[a, b]
        for a in range(len(near.rows)) for b in range(a) if near.after[a, b] == 2
    ]  # fmt: skip
    assert number[2] == len(of_two)
    assert alike[2] == pytest.approx(np.mean(of_two))


def test_rows_of_the_table_and_items_of_the_log_are_two_things():
    log = Log(item_ids=[99, *range(ITEMS - 1, 0, -1)])  # item 0 is not in it, 99 not in the table
    ids = SemanticIDs.build(range(ITEMS), behaviour(), [SIZE] * LENGTH)
    near = nearness(ids, fit(content(), behaviour()), log)
    assert near.rows.tolist() == [*range(ITEMS - 1, 0, -1)]
    codes = content()[near.rows]
    assert np.array_equal(near.before, (codes[:, None] == codes).sum(2))


def test_who_came_back_counts_once():
    ids = SemanticIDs.build(range(ITEMS), behaviour(), [SIZE] * LENGTH)
    moved = fit(content(), behaviour())
    once, twice = (nearness(ids, moved, Log(users=16, twice=each)) for each in (False, True))
    assert len(once.rows) == len(twice.rows) == 0, "four users each are too few"
    once, twice = (nearness(ids, moved, Log(twice=each)) for each in (False, True))
    assert np.array_equal(once.alike, twice.alike)
    assert np.array_equal(once.common, twice.common)


def test_large_logs_are_drawn_from(monkeypatch):
    monkeypatch.setattr("mmq.reports._moves.MOST_ITEMS", 10)
    monkeypatch.setattr("mmq.reports._moves.MOST_USERS", 20)
    ids = SemanticIDs.build(range(ITEMS), behaviour(), [SIZE] * LENGTH)
    moved = fit(content(), behaviour())
    one, same, other = (nearness(ids, moved, Log(), seed) for seed in (0, 0, 1))
    assert len(one.rows) == 10
    assert one.common.max() <= 20
    assert np.array_equal(one.rows, same.rows)
    assert np.array_equal(one.alike, same.alike)
    assert not np.array_equal(one.rows, other.rows)


def test_pairs_are_those_that_moved_most():
    before, after = content(), behaviour()
    ids = SemanticIDs.build(range(ITEMS), after, [SIZE] * LENGTH)
    near = nearness(ids, fit(before, after), Log())
    gain = (near.after - near.before)[np.triu_indices(len(near.rows), 1)]
    for sign, best in ((1, gain.max()), (-1, -gain.min())):
        found = pairs(near, sign)
        assert 0 < len(found) <= 4
        assert len({each[:2] for each in found}) == len(found)
        for each in found:
            assert sign * (each.after - each.before) == best
            assert each.before == near.before[each.one, each.other]
            assert each.common == near.common[each.one, each.other]
        assert found == pairs(near, sign)
    still = nearness(ids, fit(after, after), Log())
    assert pairs(still, 1) == pairs(still, -1) == []


# --- the page ---


def test_the_page_says_what_moved(tmp_path):
    titles = [f"Toy {row}" for row in range(ITEMS)]
    written = page(tmp_path, attributes={"title": titles})
    read = text(written)
    moved = content() != behaviour()
    assert f"{ITEMS} items, whose semantic IDs learned together" in read
    assert "Epoch 2 was the best on the validation part" in read
    assert f"{percent(moved.any(1).mean())} of the items have another ID" in read
    assert f"{moved.mean():.1%} of all codes are other ones" in read
    for tile in ("0.1000 → 0.1234 ndcg@10", "0.500 → 0.625", "25.00% → 12.50% of the items share"):
        assert tile in read
    assert "24 items that at least 5 users liked" in read
    assert "Came together" in read
    assert "Went apart" in read
    assert written.count('<img src="data:image/svg+xml;base64,') == 2
    shown = set(re.findall(r'<div class="title">(.*?)</div>', written))
    assert shown
    assert shown <= set(titles)
    assert re.search(r"\d codes in common → \d · \d+ users liked both, cosine [01]\.\d\d", read)
    assert "recall@10 0.2000 0.2000" in read
    assert "refit" not in read


def test_it_needs_no_other_file(tmp_path):
    written = page(tmp_path, attributes={"title": [f"Toy {row}" for row in range(ITEMS)]})
    sources = re.findall(r"""(?:src|href|url|action)\s*[=(]\s*["']?([^"')\s>]+)""", written)
    assert sources
    assert all(each.startswith("data:") for each in sources)
    assert "<script" not in written
    assert "@import" not in written
    assert {path.name for path in tmp_path.iterdir()} == {"catalogue.parquet", "page.html"}


def test_codes_that_moved_are_marked(tmp_path):
    before, after = behaviour(), behaviour()
    after[:, 0] = (after[:, 0] + np.arange(ITEMS) // 12) % SIZE  # half of the items, one code
    written = page(tmp_path, before, after)
    members = re.findall(
        r'<div class="title">(\d+)</div>\s*<div class="codes">(.*?)</div>\s*'
        r'<div class="codes">(.*?)</div>', written
    )  # fmt: skip
    assert members
    for item, *codes in members:
        for shown, values in zip(codes, (before, after), strict=True):
            row = int(item)
            assert [int(v) for v in re.findall(r">(\d+)</span>", shown)] == values[row].tolist()
            marked = [' class="on"' in each for each in re.findall("<span[^>]*>", shown)]
            assert marked == (before[row] != after[row]).tolist()


def test_nothing_moved(tmp_path):
    same = content()
    read = text(page(tmp_path, same, same, best_epoch=0))
    assert "No epoch was better than the start" in read
    assert "0% of the items have another ID" in read
    assert read.count("No pair of the items compared did.") == 2


def test_without_titles_ids_are_shown(tmp_path):
    written = page(tmp_path)
    shown = re.findall(r'<div class="title">(.*?)</div>', written)
    assert shown
    assert all(each.isdigit() and int(each) < ITEMS for each in shown)
    assert "no picture" not in written
    some = page(tmp_path, attributes={"title": [None] * (ITEMS - 1) + ["Last"]})
    shown = set(re.findall(r'<div class="title">(.*?)</div>', some))
    assert shown <= {*map(str, range(ITEMS - 1)), "Last"}


def test_titles_are_text(tmp_path):
    evil = [f'<script>alert({row})</script> & "co"' for row in range(ITEMS)]
    written = page(tmp_path, attributes={"title": evil})
    assert "<script" not in written
    assert "&lt;script&gt;alert(" in written
    assert "<script>alert(" in text(written)


@pytest.mark.parametrize("ids", [range(ITEMS), [f"<b>{row}</b>" for row in range(ITEMS)]])
def test_item_ids_are_text(ids, tmp_path):
    table = SemanticIDs.build(ids, behaviour(), [SIZE] * LENGTH)
    embeddings = {"text": np.random.default_rng(1).normal(size=(ITEMS, 3))}
    write_catalogue(tmp_path / "c.parquet", Catalogue.build(ids, embeddings))
    file = CatalogueFile(tmp_path / "c.parquet")
    write_moves(tmp_path / "page.html", table, fit(content(), behaviour()), Log(item_ids=ids), file)
    shown = re.findall(r'<div class="title">(.*?)</div>', (tmp_path / "page.html").read_text())
    assert shown
    assert {html.unescape(each) for each in shown} <= set(map(str, ids))


def test_pictures_that_are_gone(tmp_path):
    Image.new("RGB", (60, 90), (200, 40, 90)).save(tmp_path / "there.png")
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    paths = [("there.png", "gone.png", "broken.png", None)[row % 4] for row in range(ITEMS)]
    written = page(tmp_path, attributes={"image_path": paths})
    shown = dict(re.findall(
        r'<div class="picture">(.*?)</div>\s*<div><div class="title">(\d+)</div>', written
    ))  # fmt: skip
    members = re.findall(
        r'<div class="picture">(.*?)</div>\s*<div><div class="title">(\d+)</div>', written
    )
    assert shown
    for picture, item in members:
        there = picture.startswith('<img src="data:image/jpeg;base64,')
        assert there == (int(item) % 4 == 0)
        assert there or picture == "no picture"
    none = page(tmp_path, attributes={"image_path": ["gone.png"] * ITEMS})
    assert '<div class="picture">' not in none


@pytest.mark.parametrize("liked", [0, 1])
def test_fewer_than_two_items_to_compare(liked, tmp_path):
    log = Log()
    log.pairs = np.array([(u, 7) for u in range(9)] * liked, np.int64).reshape(-1, 2)
    written = page(tmp_path, log=log)
    assert f"{liked} items that at least 5 users liked" in text(written)
    assert written.count("<img") == 1
    assert "ndcg@10 and moved items by epoch" in written


def test_items_that_the_catalogue_file_lists_otherwise(tmp_path):
    """Titles go by the item's id; the file holds more items, in another order."""
    order = np.random.default_rng(0).permutation(ITEMS + 6)
    embeddings = {"text": np.random.default_rng(1).normal(size=(len(order), 3))}
    titles = {"title": [f"Toy {item}" for item in order]}
    write_catalogue(tmp_path / "c.parquet", Catalogue.build(order.tolist(), embeddings, titles))
    ids = SemanticIDs.build(range(ITEMS), behaviour(), [SIZE] * LENGTH)
    found = fit(content(), behaviour())
    write_moves(tmp_path / "p.html", ids, found, Log(), CatalogueFile(tmp_path / "c.parquet"))
    written = (tmp_path / "p.html").read_text()
    members = re.findall(
        r'<div class="title">Toy (\d+)</div>\s*<div class="codes">(.*?)</div>', written
    )
    assert members
    for item, codes in members:
        assert [int(v) for v in re.findall(r">(\d+)</span>", codes)] == content()[
            int(item)
        ].tolist()


def test_a_ranking_is_told_by_its_auc(tmp_path):
    ids = SemanticIDs.build(range(ITEMS), behaviour(), [SIZE] * LENGTH)
    rename = {"ndcg@10": "auc", "recall@10": "log_loss"}

    def renamed(figures):
        return {rename.get(name, name): value for name, value in figures.items()}

    found = fit(content(), behaviour())
    found = found._replace(
        before=renamed(found.before), after=renamed(found.after), log=[*map(renamed, found.log)]
    )
    write_moves(tmp_path / "page.html", ids, found, Log(), shop(tmp_path))
    read = text((tmp_path / "page.html").read_text())
    assert "0.1000 → 0.1234 auc, validation" in read


def test_the_same_page_comes_out_again(tmp_path):
    assert page(tmp_path) == page(tmp_path)


def test_the_control_stands_beside_what_was_fine_tuned(tmp_path):
    file, table = shop(tmp_path), SemanticIDs.build(range(ITEMS), behaviour(), [SIZE] * LENGTH)
    control = fit(content(), content(), **{"ndcg@10": 0.1111})
    made = fit(content(), behaviour())
    write_moves(tmp_path / "page.html", table, made, Log(), file, control)
    read = text((tmp_path / "page.html").read_text("utf-8"))
    assert "0.1111 → 0.1234 ndcg@10, validation, over the control: as long a training" in read
    assert f"ndcg@10 {FIGURES['ndcg@10']:.4f} 0.1111 0.1234" in read
    alone = text(page(tmp_path))
    assert "No control was run" in alone
    assert "control 0." not in alone

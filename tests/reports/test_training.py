"""The page on a training."""

import json
import re

import pytest

from cli.rank_shop import write as write_impressions
from cli.retrieval_shop import SMALL, run, write_shop
from mmq.workflows import train_retrieval


@pytest.fixture
def shop(tmp_path):
    write_shop(tmp_path)
    return tmp_path


def test_a_recommender(shop, capsys):
    words = ["--interactions", shop / "log.parquet", "--model", "sasrec", *SMALL, "--out"]
    page = shop / "page.html"
    code, out, _ = run(capsys, "train", "retrieval", *words, shop / "m", "--report", page, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["report"] == str(page)
    text = page.read_text()
    assert "<h1>A SASRec recommender, trained</h1>" in text
    assert f"{result['epochs']} epochs were made, the {result['best_epoch']}" in text
    for sentence in result["verdict"]:
        assert sentence in text
    assert "validation, history competes: sasrec" in text
    assert "test, history left out: item-knn" in text
    assert f"{result['test']['history_left_out']['ndcg@10']:.4f}" in text
    figures = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert {"loss", "ndcg@10", "recall@10"} <= set(figures)
    assert text.count("data:image/svg+xml") == len(figures)
    code, out, _ = run(capsys, "train", "retrieval", *words, shop / "m", "--report", page)
    assert (code, out.splitlines()[-1]) == (0, f"report -> {page}")


def test_without_epochs_there_are_no_curves(shop):
    page = shop / "page.html"
    train_retrieval(shop / "log.parquet", shop / "m", "popularity", report=page)
    assert "It is fitted in one go, without epochs." in page.read_text()
    assert "How it learned" not in page.read_text()


def test_a_ranker(tmp_path, capsys):
    write_impressions(tmp_path / "log.parquet")
    words = ["train", "ranking", "--interactions", tmp_path / "log.parquet", "--set", "epochs=2"]
    page = tmp_path / "page.html"
    code, _, err = run(capsys, *words, "--out", tmp_path / "m", "--report", page)
    assert (code, err) == (0, "")
    assert "validation: means" in page.read_text()
    assert "<figcaption>auc</figcaption>" in page.read_text()


@pytest.mark.parametrize("kind", ["retrieval", "ranking"])
def test_the_page_is_checked_before_the_training(shop, capsys, kind):
    words = ["train", kind, "--interactions", shop / "log.parquet", "--out", shop / "m"]
    code, _, err = run(capsys, *words, "--report", shop / "page.txt")
    assert (code, err.count("\n")) == (2, 1)
    assert "should be a file that ends in .html" in err
    assert not (shop / "m").exists()

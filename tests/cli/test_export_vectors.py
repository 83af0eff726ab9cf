import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from retrieval_shop import ITEMS, SMALL, USERS, run, table, train, write_shop

from mmq.recommenders import Recommender
from mmq.workflows import _export_vectors, export_vectors

KINDS = ["heterrec", "codes", "sasrec"]
LOG = ["--users", "all", "--interactions", "log.parquet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A shop, and models with and without vectors."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    ids = ["--ids", folder / "ids.parquet", *SMALL]
    assert train(folder, "heterrec", *ids) == 0
    assert train(folder, "codes", *ids, "--set", "item_token=false") == 0
    assert train(folder, "ordered", *ids, "--set", "head=autoregressive") == 0
    assert train(folder, "sasrec", "--model", "sasrec", *SMALL) == 0
    assert train(folder, "item-knn", "--model", "item-knn") == 0
    table(60).write(folder / "more.parquet")
    return folder


@pytest.fixture
def shop(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def vectors(path, name):
    rows = pq.read_table(path)
    assert rows.column_names == [name, "vector"]
    width = rows.schema.field("vector").type.list_size
    flat = rows["vector"].combine_chunks().flatten().to_numpy()
    return rows[name].to_pylist(), flat.reshape(len(rows), width)


def recommended(path, k):
    rows = pq.read_table(path).to_pylist()
    items, scores = ([row[name] for row in rows] for name in ("item_id", "score"))
    return np.array(items).reshape(-1, k), np.array(scores).reshape(-1, k)


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_scores_up_to_a_constant_of_the_user(kind, shop, capsys, monkeypatch):
    """Whatever the size of the pieces that they are made in."""
    monkeypatch.setattr(_export_vectors, "_BLOCK", 7)
    monkeypatch.setattr(_export_vectors, "_GROUP", 16)
    code, out, err = run(capsys, "export", "vectors", kind, *LOG, "--out", f"v_{kind}", "--json")
    assert (code, err) == (0, "")
    items, of_items = vectors(f"v_{kind}/items.parquet", "item_id")
    users, of_users = vectors(f"v_{kind}/users.parquet", "user_id")
    width = 16 if kind == "sasrec" else 17
    expected = {"model": kind.replace("codes", "heterrec"), "dimension": width}
    expected |= {"items": len(items), "users": USERS, "without_history": 0}
    assert expected.items() <= json.loads(out).items()
    assert run(capsys, "recommend", kind, *LOG, "-k", 5, "--out", "recs.parquet")[0] == 0
    shown, scores = recommended("recs.parquet", 5)
    products = of_users @ of_items.T
    place = {item: row for row, item in enumerate(items)}
    for user, (row, known) in enumerate(zip(shown, scores, strict=True)):
        own = products[user, [place[item] for item in row]]
        np.testing.assert_allclose(own - own[0], known - known[0], atol=2e-5)
        assert own[-1] >= np.sort(products[user])[-5] - 2e-5  # none of the others is better
    assert users == sorted(users)


def test_faiss_finds_what_the_model_recommends(shop, capsys):
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is in the dev extra alone")
    assert run(capsys, "export", "vectors", "sasrec", *LOG, "--out", "v")[0] == 0
    items, of_items = vectors("v/items.parquet", "item_id")
    _, of_users = vectors("v/users.parquet", "user_id")
    index = faiss.IndexFlatIP(of_items.shape[1])
    index.add(of_items)
    _, rows = index.search(of_users, 10)
    assert run(capsys, "recommend", "sasrec", *LOG, "-k", 10, "--out", "recs.parquet")[0] == 0
    shown, _ = recommended("recs.parquet", 10)
    assert (np.array(items)[rows] == shown).mean() > 0.999  # rounding may swap two
    assert len(items) == of_items.shape[0]


def test_items_of_a_newer_table_have_vectors_too(shop):
    from mmq.workflows import ModelFolder

    found = export_vectors(ModelFolder("heterrec", "more.parquet"), "newer")
    assert found["items"] == 60 > ITEMS
    assert "users" not in found
    _, old = vectors(shop / "newer/items.parquet", "item_id")
    export_vectors("heterrec", "newer")  # an older export is replaced
    _, new = vectors(shop / "newer/items.parquet", "item_id")
    np.testing.assert_array_equal(old[: len(new)], new)


def test_users_without_a_history_are_left_out(shop, capsys):
    (shop / "some.txt").write_text("101\n999\n")
    code, out, _ = run(
        capsys,
        *("export", "vectors", "sasrec", "--users", "some.txt"),
        *("--interactions", "log.parquet", "--out", "some"),
    )
    assert code == 0
    assert "1 users have no history and no vector" in out
    assert vectors("some/users.parquet", "user_id")[0] == [101]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["item-knn"], "has no vectors of users; export sasrec or heterrec"),
        (["ordered"], "train heterrec with --set head=parallel"),
        (["sasrec", "--ids", "more.parquet"], "--ids is not for sasrec"),
        (["sasrec", "--interactions", "log.parquet"], "add --users all or a FILE"),
        (["sasrec", "--users", "all"], "give it with --interactions"),
    ],
)
def test_what_has_no_vectors_is_said(arguments, sentence, shop, capsys):
    code, out, err = run(capsys, "export", "vectors", *arguments, "--out", "none")
    assert (code, out) == (2, "")
    assert sentence in err


def test_somebody_elses_file_is_not_replaced(shop, capsys):
    (shop / "taken").mkdir()
    (shop / "taken/items.parquet").write_text("mine")
    code, _, err = run(capsys, "export", "vectors", "sasrec", "--out", "taken")
    assert code == 2
    assert "holds no vectors, so it is not replaced" in err
    assert (shop / "taken/items.parquet").read_text() == "mine"


def test_few_users_at_a_time_are_given_the_same(shop, monkeypatch):
    """A whole catalogue's scores of all users would not fit."""
    from mmq.recommenders import _dense

    histories = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]]
    for kind in ("sasrec", "heterrec"):
        model = Recommender.load(kind)
        expected = model.recommend(histories, 5, exclude_history=True)
        with monkeypatch.context() as patch:
            patch.setattr(_dense, "_SCORES", 2 * ITEMS)
            found = Recommender.load(kind).recommend(histories, 5, exclude_history=True)
        assert found.item_ids == expected.item_ids
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)

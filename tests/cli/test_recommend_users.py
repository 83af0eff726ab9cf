import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from retrieval_shop import ITEMS, SMALL, USERS, columns, run, table, train, write_shop

from mmq.data._interactions import Interactions, write_interactions
from mmq.data._log import read_interactions
from mmq.recommenders import Recommender
from mmq.workflows import RecommendationFile, _recommend_users, recommend_users

KINDS = ["heterrec", "sasrec", "popularity", "item-knn", "ease"]
ALL = ["--users", "all", "--interactions", "log.parquet", "--out", "recs.parquet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A shop, and a model of each kind."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    assert train(folder, "heterrec", "--ids", folder / "ids.parquet", *SMALL) == 0
    assert train(folder, "sasrec", "--model", "sasrec", *SMALL) == 0
    for kind in ("popularity", "item-knn", "ease"):
        assert train(folder, kind, "--model", kind) == 0
    table(60).write(folder / "more.parquet")
    return folder


@pytest.fixture
def shop(trained, monkeypatch):
    monkeypatch.chdir(trained)
    (trained / "recs.parquet").unlink(missing_ok=True)
    return trained


def recommended(capsys, *arguments):
    """Figures, and the rows of the file."""
    code, out, err = run(capsys, "recommend", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out), pq.read_table("recs.parquet")


def lists(rows):
    """User -> items in the order of their rank."""
    found = {}
    for row in rows.to_pylist():
        found.setdefault(row["user_id"], []).append(row["item_id"])
        assert row["rank"] == len(found[row["user_id"]])
    return found


def liked():
    """User -> items that count, oldest first, as the log of the shop has them."""
    log = columns()
    good = log["rating"] > 3
    users, items = log["user_id"][good], log["item_id"][good]
    return {user: items[users == user].tolist() for user in dict.fromkeys(users.tolist())}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exclude", [False, True])
def test_everybody_gets_what_each_alone_would(kind, exclude, shop, capsys):
    options = ["--exclude-history"] if exclude else []
    figures, rows = recommended(capsys, kind, *ALL, "-k", 7, *options)
    model, past = Recommender.load(kind), liked()
    assert list(lists(rows)) == list(past)
    scores = np.array(rows["score"]).reshape(USERS, -1)
    for number, (user, items) in enumerate(past.items()):
        alone = model.recommend([items], 7, exclude_history=exclude)
        assert lists(rows)[user] == alone.item_ids[0]
        np.testing.assert_allclose(scores[number], alone.scores[0], rtol=1e-4, atol=1e-5)
    assert not any(rows["fallback"].to_pylist())
    assert rows.column_names == ["user_id", "rank", "item_id", "score", "fallback"]
    expected = {"model": kind, "users": USERS, "fallback": 0, "rows": 7 * USERS, "unserved": 0}
    assert expected.items() <= figures.items()
    assert figures["users_per_second"] == pytest.approx(USERS / figures["seconds"])


NEWER = ["--ids", "more.parquet", "--new-item-share", 0.4]


@pytest.mark.parametrize("options", [["--beams", 64], ["--ids", "more.parquet"], NEWER])
def test_options_of_heterrec(options, shop, capsys):
    _, rows = recommended(capsys, "heterrec", *ALL, "-k", 5, *options)
    for user, items in list(liked().items())[:5]:
        one = ["--history", ",".join(map(str, items)), "-k", 5]
        _, out, _ = run(capsys, "recommend", "heterrec", *one, *options, "--json")
        alone = [each["item_id"] for each in json.loads(out)["recommendations"]]
        assert lists(rows)[user] == alone


def test_everybody_is_shown_a_share_of_new_items(shop, capsys):
    figures, rows = recommended(capsys, "heterrec", *ALL, "-k", 5, *NEWER)
    shown = [sum(item >= ITEMS for item in each) for each in lists(rows).values()]
    assert min(shown) >= 2
    assert (figures["new_items"], figures["new_shown"]) == (60 - ITEMS, sum(shown))
    words = ["recommend", "heterrec", *ALL, "--out", "again.parquet", "-k", 5, *NEWER]
    _, out, _ = run(capsys, *words)
    said = f"  15 items are new since training: {sum(shown)} of the {5 * USERS} recommendations"
    assert said in out.splitlines()


def test_what_the_log_saw_first_of_late_is_new(shop, capsys):
    log = read_interactions("log.parquet")
    first = {}
    for item, time in zip(log.item_ids.to_pylist(), log.times.tolist(), strict=True):
        first[item] = min(time, first.get(item, time))
    late = sorted(first, key=first.get)[-3:]
    since = str(np.datetime64(first[late[0]], "us"))
    options = ["--new-since", since, "--new-item-share", 0.2]
    figures, rows = recommended(capsys, "popularity", *ALL, "-k", 5, *options)
    assert figures["new_items"] == 3
    assert min(len(set(late) & set(each)) for each in lists(rows).values()) >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_only_items_that_pass_the_filters(kind, shop, capsys):
    (shop / "allow.txt").write_text("3\n4\n5\n8\n")
    options = ["--category", "genres=Comedy", "--catalogue", "catalogue.parquet"]
    figures, rows = recommended(capsys, kind, *ALL, "-k", 5, "--allow", "allow.txt", *options)
    assert {tuple(sorted(each)) for each in lists(rows).values()} == {(3, 4)}
    assert (figures["rows"], figures["candidates"]) == (2 * USERS, 2)
    assert len(lists(rows)) == USERS


def test_users_whom_the_filters_leave_nothing_are_counted(shop, capsys):
    (shop / "allow.txt").write_text("3\n")
    options = ["--allow", "allow.txt", "--exclude-history"]
    figures, rows = recommended(capsys, "ease", *ALL, "-k", 5, *options)
    without = [user for user, items in liked().items() if 3 in items]
    assert set(lists(rows)) == set(liked()) - set(without)
    assert figures["unserved"] == len(without) > 0
    assert figures["warnings"] == [
        f"the filters leave nothing to recommend to {len(without)} of {USERS} users"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_users_without_a_history_get_what_is_popular(kind, shop, capsys):
    write_interactions(
        "some.parquet",
        Interactions.build(
            {
                "user_id": ["new", "bad", "ann", "ann", "bad"],
                "item_id": [900, 3, 3, 901, 901],
                "timestamp": [1, 2, 3, 4, 5],
                "rating": [5.0, 1.0, 5.0, 5.0, 5.0],
            }
        ),
    )
    (shop / "whom.txt").write_text("ann\nnobody\nbad\nnew\n")
    options = ["--interactions", "some.parquet", "--out", "recs.parquet", "-k", 4, "--reason"]
    figures, rows = recommended(capsys, kind, "--users", "whom.txt", *options)
    known = Recommender.load(kind).items
    popular = known.item_ids.take(np.argsort(-known.popularity, kind="stable")[:4]).to_pylist()
    found = lists(rows)
    assert list(found) == ["ann", "nobody", "bad", "new"]
    assert found["nobody"] == found["bad"] == found["new"] == popular
    assert found["ann"] == Recommender.load(kind).recommend([[3]], 4).item_ids[0]
    assert rows["fallback"].to_pylist() == [False] * 4 + [True] * 12
    assert rows["closest_history_item"].to_pylist()[4:] == [None] * 12
    assert (figures["users"], figures["fallback"], figures["left_out"]) == (4, 3, 3)
    sentence = "3 of 4 users have no history that the model knows: they get the most popular items"
    assert figures["warnings"] == [sentence]
    code, out, _ = run(capsys, "recommend", kind, "--users", "whom.txt", *options)
    assert code == 0
    assert f"  warning: {sentence}" in out
    assert f"{kind} recommends to 4 users, of" in out


def test_nobody_has_a_history(shop, capsys):
    log = {"user_id": [1, 2], "item_id": [3, 4], "timestamp": [1, 2], "rating": [1.0, 2.0]}
    write_interactions("bad_times.parquet", Interactions.build(log))
    options = ["--users", "all", "--interactions", "bad_times.parquet", "--out", "recs.parquet"]
    figures, rows = recommended(capsys, "sasrec", *options, "-k", 2)
    assert (figures["fallback"], len(rows)) == (2, 4)


@pytest.mark.parametrize("form", ["ids.txt", "ids.csv", "ids.parquet", "named.csv"])
def test_forms_of_a_file_of_users(form, shop, capsys):
    """The order is that of the file."""
    users = [107, 101, 155]
    text = {
        "ids.txt": "107\n101\n\n155\n",
        "ids.csv": "user_id,age\n107,30\n101,40\n155,50\n",
        "named.csv": "who\n107\n101\n155\n",
    }
    if form in text:
        (shop / form).write_text(text[form])
    else:
        pq.write_table(pa.table({"user_id": users}), form)
    log = ["--interactions", "log.parquet"]
    if form == "named.csv":
        names = ["who", *columns()]
        names.remove("user_id")
        pq.write_table(pq.read_table("log.parquet").rename_columns(names), "who.parquet")
        log = ["--interactions", "who.parquet", "--user-column", "who"]
    options = ["--users", form, *log, "--out", "recs.parquet", "-k", 3]
    _, rows = recommended(capsys, "item-knn", *options)
    _, everybody = recommended(capsys, "item-knn", *ALL, "-k", 3)
    assert list(lists(rows)) == users
    assert lists(rows) == {user: lists(everybody)[user] for user in users}
    assert rows.schema.field("user_id").type == pa.int64()


@pytest.mark.parametrize("name", ["histories.parquet", "histories.jsonl", "items.parquet"])
def test_a_file_of_histories_needs_no_log(name, shop, capsys):
    histories = {"b": [1, 5, 9], "a": [], "c": [900, 7]}
    column = "item_id" if name.startswith("items") else "history"
    if name.endswith("jsonl"):
        lines = [{"user_id": user, column: each} for user, each in histories.items()]
        (shop / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        pq.write_table(pa.table({"user_id": list(histories), column: histories.values()}), name)
    options = ["--users", name, "--out", "recs.parquet", "-k", 3]
    figures, rows = recommended(capsys, "sasrec", *options)
    model = Recommender.load("sasrec")
    expected = model.recommend([[1, 5, 9], [7]], 3).item_ids
    assert list(lists(rows)) == ["b", "a", "c"]
    assert [lists(rows)["b"], lists(rows)["c"]] == expected
    assert (figures["fallback"], figures["left_out"]) == (1, 1)


def test_titles(shop, capsys):
    options = ["--titles", "--catalogue", "catalogue.parquet"]
    _, rows = recommended(capsys, "sasrec", *ALL, "-k", 3, *options)
    assert rows["title"].to_pylist() == [f"Toy {item}" for item in rows["item_id"].to_pylist()]


@pytest.mark.parametrize("kind", KINDS)
def test_the_closest_item_of_the_history(kind, shop, capsys):
    """Against the definition, pair by pair."""
    _, rows = recommended(capsys, kind, *ALL, "-k", 6, "--reason")
    model, past = Recommender.load(kind), liked()
    for row in rows.slice(0, 60).to_pylist():
        items = past[row["user_id"]]
        speaks = [_speaks(model, item, row["item_id"], items, t) for t, item in enumerate(items)]
        found = row["closest_history_item"]
        if kind == "popularity" or (kind != "heterrec" and kind != "sasrec" and max(speaks) <= 0):
            assert found is None
        else:
            best = max(speak for item, speak in zip(items, speaks, strict=True) if item == found)
            assert best == pytest.approx(max(speaks), abs=1e-6)


def _speaks(model, item, other, items, place):
    if model.kind in ("sasrec", "heterrec"):
        vectors = model._directions(np_rows(model, [item, other]))
        return float(vectors[0] @ vectors[1])
    decay = model.settings.decay ** (len(items) - 1 - place) if model.kind != "popularity" else 0
    own, theirs = model.rows_of([item, other], "the test").tolist()
    if model.kind == "item-knn":
        return decay * float(model._similar[own, theirs])
    if model.kind == "ease":
        places = {row: at for at, row in enumerate(model._rows.tolist())}
        return decay * float(model._weights[places[own], places[theirs]])
    return 0.0


def np_rows(model, items):
    import torch

    return torch.from_numpy(model.rows_of(items, "the test"))


def test_row_groups_hold_some_users_each_and_change_nothing(shop, capsys, monkeypatch):
    """Memory is that of a row group: nothing else of the file is held."""
    _, whole = recommended(capsys, "heterrec", *ALL, "-k", 5)
    assert pq.ParquetFile("recs.parquet").num_row_groups == 1
    monkeypatch.setattr(_recommend_users, "_ROWS", 1)
    monkeypatch.setattr(_recommend_users, "_BATCH", 16)
    asked = []
    plain = Recommender.search_or_popular

    def search(self, histories, *arguments):
        asked.append(len(histories))
        return plain(self, histories, *arguments)

    monkeypatch.setattr(Recommender, "search_or_popular", search)
    _, parts = recommended(capsys, "heterrec", *ALL, "-k", 5)
    file = pq.ParquetFile("recs.parquet")
    groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert groups == [80, 80, 80, 60]
    assert asked == [16, 16, 16, 12]
    assert lists(parts) == lists(whole)


def test_the_same_run_gives_the_same_bytes(shop, capsys):
    recommended(capsys, "heterrec", *ALL, "-k", 5, "--reason")
    first = (shop / "recs.parquet").read_bytes()
    recommended(capsys, "heterrec", *ALL, "-k", 5, "--reason")
    assert (shop / "recs.parquet").read_bytes() == first


def test_a_failure_leaves_what_was_there(shop, capsys, monkeypatch):
    recommended(capsys, "sasrec", *ALL, "-k", 5)
    before, names = (shop / "recs.parquet").read_bytes(), sorted(shop.iterdir())
    monkeypatch.setattr(_recommend_users, "_ROWS", 1)
    monkeypatch.setattr(_recommend_users, "_BATCH", 16)
    calls = []
    plain = Recommender.search_or_popular

    def search(self, histories, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, histories, *arguments)

    monkeypatch.setattr(Recommender, "search_or_popular", search)
    with pytest.raises(KeyboardInterrupt):
        recommend_users("sasrec", "all", "recs.parquet", 5, log="log.parquet")
    assert (shop / "recs.parquet").read_bytes() == before
    assert sorted(shop.iterdir()) == names


def test_the_function_gives_what_the_verb_prints(shop, capsys):
    figures, rows = recommended(capsys, "sasrec", *ALL, "-k", 5, "--reason")
    out = RecommendationFile("recs.parquet", reasons=True)
    found = recommend_users("sasrec", "all", out, 5, log="log.parquet")
    assert figures.keys() == found.keys()
    assert pq.read_table("recs.parquet").equals(rows)


# --- bad input: one sentence, exit 2, nothing written ---

L, OUT = ["--interactions", "log.parquet"], ["--out", "recs.parquet"]
K = ["-k", 5]
BAD = [
    ([*ALL, *K, "--history", "1,5"], "--history does not go with --users; give one of the two"),
    ([*ALL, *K, "--user", "107"], "--user does not go with --users; give one of the two"),
    (["--users", "all", *L, *K], "--users needs a file to write; give it with --out recs.parquet"),
    (["--history", "1", *OUT], "--out, --titles and --reason are for many users; add --users all"),
    (["--history", "1", "--reason"], "--out, --titles and --reason are for many users"),
    ([*K], "give either --history ITEM,ITEM or both --user USER and --interactions LOG, or for "
     "many users --users all|FILE and --out FILE"),
    (["--users", "all", *OUT, *K], "--users all takes the users of a log; give it with"),
    (["--users", "ids.txt", *OUT, *K], "ids.txt names users alone; give the log of their"),
    (["--users", "lists.parquet", *L, *OUT, *K], "lists.parquet holds histories; leave "
     "--interactions out"),
    (["--users", "none.txt", *L, *OUT, *K], "there is no file of users at none.txt"),
    (["--users", "blank.txt", *L, *OUT, *K], "blank.txt names no user; give one user id a line"),
    (["--users", "binary.txt", *L, *OUT, *K], "binary.txt is not UTF-8 text"),
    (["--users", "twice.txt", *L, *OUT, *K], "user '107' comes 2 times in twice.txt"),
    (["--users", "strangers.txt", *L, *OUT, *K], "none of the 2 users of strangers.txt is in the "
     "log, which has users such as 100 where the file has ann"),
    (["--users", "other.csv", *L, *OUT, *K], "other.csv has no column 'user_id'; did you mean"),
    (["--users", "gap.parquet", *L, *OUT, *K], "user 2 of gap.parquet has no id"),
    (["--users", "text.csv", *OUT, *K], "the column history of text.csv holds no lists"),
    (["--users", "hole.parquet", *OUT, *K], "a list in the column history of hole.parquet has an "
     "empty item id"),
    (["--users", "cut.parquet", *OUT, *K], "cut.parquet is not a whole Parquet file"),
    ([*ALL, "-k", 46], "46 recommendations were asked for of 45 items; ask for 1 to 45"),
    ([*ALL, "-k", 0], "ask for 1 to 45"),
    ([*ALL, *K, "--titles"], "--titles come from a catalogue; give it with --catalogue"),
    ([*ALL, *K, "--category", "genres=Drama"], "give their catalogue with --catalogue"),
    ([*ALL, *K, "--allow", "unknown.txt"], "item '5000' of unknown.txt is none of the 45 items"),
    (["--users", "all", "--interactions", "none.csv", *OUT, *K], "there is no table at none.csv"),
    (["--users", "all", *L, "--out", "log.parquet", *K], "log.parquet is what is read here"),
    (["--users", "all", *L, "--out", "ids.parquet", *K], "ids.parquet exists and holds no "
     "recommendations, so it is not replaced; choose another path for --out"),
    (["--users", "all", *L, "--out", ".", *K], ". is a folder; give the file to write"),
]  # fmt: skip


@pytest.fixture
def bad_shop(shop):
    """The shop with things that go wrong lying about."""
    texts = {
        "ids.txt": "107\n",
        "blank.txt": "\n \n",
        "twice.txt": "107\n101\n107\n",
        "strangers.txt": "ann\nbob\n",
        "other.csv": "users\n107\n",
        "text.csv": 'user_id,history\n107,"1,5"\n',
        "unknown.txt": "1\n5000\n",
    }
    for name, text in texts.items():
        (shop / name).write_text(text)
    (shop / "binary.txt").write_bytes(b"\xff\xfe1\x00")
    pq.write_table(pa.table({"user_id": [1], "history": [[1, 5]]}), "lists.parquet")
    pq.write_table(pa.table({"user_id": [107, None]}), "gap.parquet")
    pq.write_table(pa.table({"user_id": [1], "history": [[1, None]]}), "hole.parquet")
    (shop / "cut.parquet").write_bytes((shop / "log.parquet").read_bytes()[:-90])
    return shop


@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=lambda value: str(value)[:50])
def test_bad_arguments(arguments, expected, bad_shop, capsys):
    before = {path: path.stat().st_mtime_ns for path in sorted(bad_shop.iterdir())}
    code, out, err = run(capsys, "recommend", "heterrec", *arguments, "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert "Traceback" not in err
    assert {path: path.stat().st_mtime_ns for path in sorted(bad_shop.iterdir())} == before


def test_beams_are_for_semantic_ids(shop, capsys):
    code, _, err = run(capsys, "recommend", "ease", *ALL, *K, "--beams", 5)
    assert (code, err.count("\n")) == (2, 1)
    assert "--beams is not for ease" in err
    assert not (shop / "recs.parquet").exists()

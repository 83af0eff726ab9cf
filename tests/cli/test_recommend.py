import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from retrieval_shop import (
    GENRES,
    ITEMS,
    SIZES,
    SMALL,
    SOLD,
    codes,
    columns,
    run,
    table,
    train,
    write_shop,
)

from mmq import Catalogue, SemanticIDs, read_catalogue, write_catalogue
from mmq.data._interactions import Interactions, write_interactions
from mmq.recommenders import Recommender
from mmq.semantic_ids import build_manifest
from tests.rewritten import replace_in_json

KINDS = ["heterrec", "sasrec", "popularity"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A shop, and a model of each kind; sasrec and popularity know the items of the log alone."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    assert train(folder, "heterrec", "--ids", folder / "ids.parquet", *SMALL) == 0
    assert train(folder, "sasrec", "--model", "sasrec", *SMALL) == 0
    assert train(folder, "popularity", "--model", "popularity") == 0
    table(60).write(folder / "more.parquet")
    return folder


@pytest.fixture
def shop(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def recommended(capsys, *arguments):
    code, out, err = run(capsys, "recommend", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def items(result):
    return [each["item_id"] for each in result["recommendations"]]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_printed_is_what_the_model_says(kind, shop, capsys):
    result = recommended(capsys, kind, "--history", "1, 5,9", "-k", 7)
    model = Recommender.load(kind)
    expected = model.recommend([[1, 5, 9]], 7)
    assert items(result) == expected.item_ids[0]
    assert [each["score"] for each in result["recommendations"]] == expected.scores[0]
    assert [each["item_id"] for each in result["history"]] == [1, 5, 9]
    assert (result["model"], result["left_out"]) == (kind, 0)
    assert result["candidates"] == (ITEMS if kind == "heterrec" else SOLD)
    for each in [*result["history"], *result["recommendations"]]:
        assert "title" not in each
        if kind == "heterrec":
            assert each["semantic_id"] == codes(ITEMS)[each["item_id"]].tolist()
        else:
            assert "semantic_id" not in each


def test_titles_come_from_the_catalogue(shop, capsys):
    result = recommended(capsys, "sasrec", "--history", "1", "--catalogue", "catalogue.parquet")
    for each in [*result["history"], *result["recommendations"]]:
        assert each["title"] == f"Toy {each['item_id']}"
    part = read_catalogue("catalogue.parquet").take(np.array([1, 44]))
    write_catalogue("part.parquet", part)  # items that it lacks have no title
    result = recommended(capsys, "sasrec", "--history", "1", "--catalogue", "part.parquet")
    assert [each["title"] for each in result["history"]] == ["Toy 1"]
    assert {each["title"] for each in result["recommendations"]} <= {None, "Toy 1"}


def test_people_read_a_list(shop, capsys):
    past = ",".join(map(str, range(20, 34)))
    code, out, _ = run(
        capsys, "recommend", "heterrec", "--history", past, "-k", 3,
        "--catalogue", "catalogue.parquet",
    )  # fmt: skip
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "history of 14 items, of which the last 10"
    assert lines[1].split("  ") == ["", "", "", "24", "Toy 24", str(tuple(codes(25)[24].tolist()))]
    assert lines[11] == "heterrec recommends, of 45 items"
    assert lines[12].startswith("   1  ")
    assert "  score -" in lines[12]
    assert len(lines) == 15


def test_new_items_are_given_their_share(shop, capsys):
    words = ["heterrec", "--history", "1,5", "-k", 10, "--ids", "more.parquet"]
    old = recommended(capsys, "heterrec", "--history", "1,5", "-k", 10)
    assert (old["new_items"], old["new_shown"]) == (0, 0), "never sold is not new"
    for share, least in ((0.05, 1), (0.3, 3), (1, 10)):
        result = recommended(capsys, *words, "--new-item-share", share)
        new = sum(item >= ITEMS for item in items(result))
        assert (result["new_items"], result["new_shown"]) == (60 - ITEMS, new)
        assert new >= least
    _, out, _ = run(capsys, "recommend", *words, "--new-item-share", 1)
    assert "  15 items are new since training: 10 of the 10 recommendations" in out.splitlines()


def test_new_items_have_to_pass_the_filters(shop, capsys):
    (shop / "few.txt").write_text("3\n4\n50\n")
    words = ["heterrec", "--history", "1,5", "-k", 10, "--ids", "more.parquet"]
    share = ["--new-item-share", 0.5]
    result = recommended(capsys, *words, *share, "--allow", "few.txt")
    assert sorted(items(result)) == [3, 4, 50]
    (shop / "few.txt").write_text("3\n4\n")
    result = recommended(capsys, *words, *share, "--allow", "few.txt")
    assert sorted(items(result)) == [3, 4]


def write_dated(shop):
    """A catalogue that says when items came, one a day for a month."""
    days = [f"2026-11-{1 + item % 30:02}" for item in range(ITEMS)]
    embeddings = {"text": np.random.default_rng(1).normal(size=(ITEMS, 4))}
    dated = Catalogue.build(range(ITEMS), embeddings, {"first_seen": days})
    write_catalogue(shop / "dated.parquet", dated)


def test_a_catalogue_says_what_is_new(shop, capsys):
    write_dated(shop)
    words = ["sasrec", "--history", "1,5", "--catalogue", "dated.parquet"]
    for since in ("2026-11-29", "1"):
        result = recommended(capsys, *words, "--new-since", since, "--new-item-share", "0.2")
        assert result["new_items"] == 2
        assert {28, 29} == {item for item in items(result) if item in (28, 29)}


@pytest.mark.parametrize("kind", KINDS)
def test_only_allowed_items_come_back(kind, shop, capsys):
    (shop / "allow.txt").write_text("3\n\n 8 \n21\n8\n", "utf-8-sig")
    result = recommended(capsys, kind, "--history", "3", "-k", 5, "--allow", "allow.txt")
    assert sorted(items(result)) == [3, 8, 21]
    assert result["candidates"] == 3
    result = recommended(
        capsys, kind, "--history", "3", "-k", 5, "--allow", "allow.txt", "--exclude-history"
    )
    assert sorted(items(result)) == [8, 21]
    code, out, _ = run(capsys, "recommend", kind, "--history", "3", "-k", 5, "--allow", "allow.txt")
    assert code == 0
    assert "no more than 3 items pass the filters" in out


@pytest.mark.parametrize(
    ("category", "kept"),
    [
        ("genres=Comedy", lambda item: "Comedy" in GENRES[item % 3]),
        ("genres=Action", lambda item: item % 3 == 0),
        ("genres=Drama, Action", lambda item: item % 3 == 2),
        ("price=7", lambda item: item == 7),
    ],
)
@pytest.mark.parametrize("kind", ["heterrec", "popularity"])
def test_a_category_is_one_of_the_values(kind, category, kept, shop, capsys):
    known = range(ITEMS if kind == "heterrec" else SOLD)
    options = ["--category", category, "--catalogue", "catalogue.parquet"]
    result = recommended(capsys, kind, "--history", "1", "-k", len(known), *options)
    assert sorted(items(result)) == [item for item in known if kept(item)]


def test_filters_together(shop, capsys):
    (shop / "allow.txt").write_text("3\n4\n5\n")
    options = ["--category", "genres=Comedy", "--catalogue", "catalogue.parquet"]
    result = recommended(capsys, "sasrec", "--history", "1", "--allow", "allow.txt", *options)
    assert sorted(items(result)) == [3, 4]


def test_a_category_of_lists(shop, capsys):
    table = pq.read_table("catalogue.parquet")
    place = table.column_names.index("genres")
    lists = [text.replace(", ", "|").split("|") for text in table.column("genres").to_pylist()]
    pq.write_table(table.set_column(place, "genres", [lists]), "lists.parquet")
    options = ["--category", "genres=Drama", "--catalogue", "lists.parquet"]
    result = recommended(capsys, "heterrec", "--history", "1", "-k", ITEMS, *options)
    assert sorted(items(result)) == list(range(2, ITEMS, 3))


def test_as_many_beams_as_ids_find_what_exact_search_finds(shop, capsys):
    arguments = ["heterrec", "--history", "1,5", "-k", 12, "--exclude-history"]
    exact = recommended(capsys, *arguments)
    beams = recommended(capsys, *arguments, "--beams", 64)
    assert items(beams) == items(exact)
    assert len(items(recommended(capsys, *arguments, "--beams", 1))) == 12


def test_the_history_of_a_user_is_what_the_user_liked_in_order(shop, capsys):
    log = columns()
    mixed = np.random.default_rng(1).permutation(len(log["user_id"]))
    shuffled = Interactions.build({name: values[mixed] for name, values in log.items()})
    write_interactions("shuffled.parquet", shuffled)
    result = recommended(
        capsys, "heterrec", "--user", "107", "--interactions", "shuffled.parquet", "-k", 2
    )
    own = (log["user_id"] == 107) & (log["rating"] > 3)
    assert [each["item_id"] for each in result["history"]] == log["item_id"][own].tolist()
    past = ",".join(map(str, log["item_id"][own]))
    assert items(recommended(capsys, "heterrec", "--history", past, "-k", 2)) == items(result)


def test_what_the_model_does_not_know_of_a_user_is_left_out(shop, capsys):
    log = {"who": ["ann"] * 3, "item_id": [3, 900, 4], "timestamp": [1, 2, 3]}
    renamed = {"user_id": log["who"], **{name: log[name] for name in ("item_id", "timestamp")}}
    write_interactions("ann.parquet", Interactions.build(renamed))
    table = pq.read_table("ann.parquet").rename_columns(["who", "item_id", "timestamp"])
    pq.write_table(table, "ann.parquet")
    user = ["--user", "ann", "--interactions", "ann.parquet", "--user-column", "who"]
    result = recommended(capsys, "popularity", *user)
    assert [each["item_id"] for each in result["history"]] == [3, 4]
    assert result["left_out"] == 1
    code, out, _ = run(capsys, "recommend", "popularity", *user)
    assert code == 0
    assert out.startswith("history of 2 items, 1 more unknown to the model\n")
    assert result["warnings"] == []
    strange = {"user_id": ["ann"] * 3, "item_id": [3, 900, 901], "timestamp": [1, 2, 3]}
    write_interactions("ann.parquet", Interactions.build(strange))
    code, out, _ = run(
        capsys, "recommend", "popularity", "--user", "ann", "--interactions", "ann.parquet"
    )
    assert code == 0
    assert "warning: 2 of the 3 items of the history were not seen in training" in out


def test_new_items_are_recommended_without_training(shop, capsys):
    (shop / "new.txt").write_text("".join(f"{item}\n" for item in range(ITEMS, 60)))
    options = ["--history", "1,50", "--ids", "more.parquet", "--allow", "new.txt", "-k", 20]
    result = recommended(capsys, "heterrec", *options)
    assert sorted(items(result)) == list(range(ITEMS, 60))
    assert result["history"][1]["semantic_id"] == codes(60)[50].tolist()
    # what was known keeps its score
    old = recommended(capsys, "heterrec", "--history", "1,5", "-k", 45)
    both = recommended(capsys, "heterrec", "--history", "1,5", "-k", 60, "--ids", "more.parquet")
    scores = {each["item_id"]: each["score"] for each in both["recommendations"]}
    for each in old["recommendations"]:
        assert scores[each["item_id"]] == pytest.approx(each["score"], abs=1e-4)


def test_text_ids_with_commas_are_quoted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = columns()
    names = np.array([f"toy, no. {item}" for item in range(SOLD)])
    log["item_id"] = names[log["item_id"]]
    write_interactions("log.parquet", Interactions.build(log))
    assert train(tmp_path, "model", "--model", "popularity") == 0
    result = recommended(capsys, "model", "--history", '"toy, no. 3", "toy, no. 7"')
    assert [each["item_id"] for each in result["history"]] == ["toy, no. 3", "toy, no. 7"]
    code, _, err = run(capsys, "recommend", "model", "--history", '"toy, no. 77"')
    assert code == 2
    assert "nearest to it are 'toy, no. 6', 'toy, no. 7', 'toy, no. 8', 'toy, no. 9'" in err


# --- bad input: one sentence, exit 2 ---

H = ["heterrec", "--history", "1"]
C = ["--catalogue", "catalogue.parquet"]
L = ["--interactions", "log.parquet"]
BAD = [
    (["heterrec"], "give either --history ITEM,ITEM or both --user USER and --interactions LOG"),
    (["heterrec", "--user", "107"], "give either --history"),
    ([*H, "--user", "107", *L], "give either --history"),
    ([*H, *L], "give either --history"),
    (["heterrec", "--history", ""], "history 1 is empty"),
    (["heterrec", "--history", " , "], "history 1 is empty"),
    (["heterrec", "--history", "1,99"], "item '99' of the history is none of the 45 items of the "
     "model; nearest to it are 43, 44"),
    (["sasrec", "--history", "41"], "none of the 40 items of the model; nearest to it are 38, 39"),
    (["heterrec", "--history", "1;5"], "are whole numbers"),
    ([*H, "-k", 46], "46 recommendations were asked for of 45 items; ask for 1 to 45"),
    ([*H, "-k", 0], "ask for 1 to 45"),
    ([*H, "-k", -1], "ask for 1 to 45"),
    (["heterrec", "--user", "nobody", *L], "no user 'nobody' with interactions that count"),
    (["heterrec", "--user", "7", "--interactions", "far.parquet"], "knows none of the 2 items of"),
    (["heterrec", "--user", "7", "--interactions", "no_users.parquet"], "--user-column NAME"),
    (["heterrec", "--user", "7", "--interactions", "none.csv"], "there is no table at none.csv"),
    ([*H, "--allow", "none.txt"], "there is no list of allowed items at none.txt"),
    ([*H, "--allow", "blank.txt"], "blank.txt allows no item; write one item id a line"),
    ([*H, "--allow", "unknown.txt"], "item '5000' of unknown.txt is none of the 45 items"),
    ([*H, "--allow", "binary.txt"], "binary.txt is not UTF-8 text"),
    ([*H, "--allow", "one.txt", "--exclude-history"], "the filters leave nothing to recommend"),
    ([*H, "--allow", "one.txt", "--category", "price=7", *C],
     "none of the 45 items of the model passes --allow and --category price=7"),
    ([*H, "--category", "price=47", *C], "passes --category price=47"),
    ([*H, "--category", "genres=Drama"], "give their catalogue with --catalogue"),
    ([*H, "--category", "genres", *C], "--category 'genres' should read COLUMN=VALUE"),
    ([*H, "--category", "genre=Drama", *C], "did you mean 'genres'?"),
    ([*H, "--category", "text=1", *C], "has no column 'text' of attributes"),
    ([*H, "--category", "genres=Drma", *C],
     "values there are such as 'Action', 'Action|Comedy', 'Comedy', 'Drama, Action'"),
    ([*H, "--category", "title=x", "--catalogue", "bare.parquet"], "was made without attributes"),
    ([*H, "--catalogue", "none.parquet"], "there is no catalogue at none.parquet"),
    ([*H, "--catalogue", "log.parquet"], "has no embedding column"),
    ([*H, "--beams", 0], "--beams"),
    (["sasrec", "--history", "1", "--beams", 5], "--beams is not for sasrec"),
    (["sasrec", "--history", "1", "--ids", "ids.parquet"], "--ids is not for sasrec"),
    (["popularity", "--history", "1", "--ids", "ids.parquet"], "--ids is not for popularity"),
    (["sasrec", "--history", "1", "--new-item-share", "1"], "none of the 40 items is new since"),
    ([*H, "--new-item-share", "nan"], "a share of nan for new items is not between 0 and 1"),
    ([*H, "--ids", "more.parquet", "--new-item-share", ".04"], "is less than half an item"),
    ([*H, "--new-item-bonus", "1"], "--new-item-share"),
    ([*H, "--new-since", "30"], "--new-since needs to know when items came; give a log with times"),
    ([*H, "--new-since", "30", *C], "or a catalogue with a column first_seen (--catalogue)"),
    ([*H, "--new-since", "soon", "--catalogue", "dated.parquet"], "neither a date, such as 2026-"),
    ([*H, "--ids", "none.parquet"], "there is no semantic ID table"),
    ([*H, "--ids", "other.parquet"], "come from tokenizer 'mmq' (5f0c), not 'mmq' (beef)"),
    ([*H, "--ids", "unknown.parquet"], "come from tokenizer 'mmq' (5f0c), not unknown"),
    ([*H, "--ids", "sizes.parquet"], "have codebooks of [4, 4, 4] codes, not [4, 4, 5]"),
    ([*H, "--ids", "moved.parquet"], "2 of the 45 items that the model knows have another"),
    (["none", "--history", "1"], "there is no recommender"),
    ([".", "--history", "1"], "there is no recommender"),
]  # fmt: skip


@pytest.fixture
def bad_shop(shop):
    """The shop with things that go wrong lying about."""
    write_dated(shop)
    far = {"user_id": [7, 7], "item_id": [800, 900], "timestamp": [1, 2]}
    write_interactions("far.parquet", Interactions.build(far))
    pq.write_table(pq.read_table("log.parquet").drop_columns(["user_id"]), "no_users.parquet")
    for name, text in (("blank", "\n \n"), ("unknown", "1\n5000\n"), ("one", "1\n")):
        (shop / f"{name}.txt").write_text(text)
    (shop / "binary.txt").write_bytes(b"\xff\xfe1\x00")
    bare = Catalogue.build(range(ITEMS), {"text": np.ones((ITEMS, 2))})
    write_catalogue("bare.parquet", bare)
    table(ITEMS, "beef").write("other.parquet")
    table(ITEMS, None).write("unknown.parquet")
    manifest = {**table().manifest, "codebook_sizes": [4, 4, 5]}
    SemanticIDs.build(range(ITEMS), codes(ITEMS), [4, 4, 5], manifest).write("sizes.parquet")
    swapped = codes(ITEMS).copy()
    swapped[[3, 4]] = (swapped[[3, 4]] + 1) % 4
    SemanticIDs.build(range(ITEMS), swapped, SIZES, table().manifest).write("moved.parquet")
    return shop


@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=lambda value: str(value)[:50])
def test_bad_arguments(arguments, expected, bad_shop, capsys):
    code, out, err = run(capsys, "recommend", *arguments, "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert "Traceback" not in err


def test_tables_made_by_hand_have_to_share_items(shop, tmp_path, capsys):
    """Neither table says which tokenizer made it; only common items tell that codes agree."""
    table(ITEMS, None).write(tmp_path / "hand.parquet")
    assert train(shop, "hand", "--ids", tmp_path / "hand.parquet", *SMALL) == 0
    table(60, None).write(tmp_path / "more.parquet")
    ask = ["hand", "--history", "1", "-k", 1, "--ids"]
    assert recommended(capsys, *ask, tmp_path / "more.parquet")["candidates"] == 60
    manifest = build_manifest(SIZES)
    fresh = SemanticIDs.build(range(100, 110), codes(10), SIZES, manifest)
    fresh.write(tmp_path / "fresh.parquet")
    code, _, err = run(capsys, "recommend", *ask, tmp_path / "fresh.parquet")
    assert code == 2
    assert "has none of the model's items and does not say which tokenizer made it" in err


DAMAGE = [
    *[(kind, file, None, None, "damaged") for kind in KINDS
      for file in ("config.json", "model.safetensors", "items.parquet")],
    *[(kind, file, "gone", None, "there is no ") for kind in KINDS
      for file in ("config.json", "model.safetensors", "items.parquet")],
    ("sasrec", "config.json", '"format": 2', '"format": 3', "reads up to 2; upgrade mmq"),
    ("sasrec", "config.json", '"format": 2', '"format": "1"', "'format' is not as mmq writes it"),
    ("sasrec", "config.json", '"split": {', '"spilt": {', "('split' is not as mmq writes it)"),
    ("sasrec", "config.json", '"ids": null', '"ids": 3', "'ids' is not as mmq writes it"),
    ("sasrec", "config.json", '"recommender": "sas', '"recommender": "s', "did you mean 'sasrec'"),
    ("sasrec", "config.json", '"hidden_dim": 16', '"hidden_dim": 32', "config.json asks for"),
    ("sasrec", "config.json", '"item_layers": 2', '"item_layers": 3', "lacks the tensor"),
    ("sasrec", "config.json", '"item_layers": 2', '"item_layers": 1', "does not know"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "old", "new", "expected"), DAMAGE)
def test_damaged_models(kind, name, old, new, expected, trained, tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (trained / kind).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    if old is None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-90])
    elif old == "gone":
        (folder / name).unlink()
    else:
        replace_in_json(folder / name, old, new)
    code, out, err = run(capsys, "recommend", folder, "--history", "1", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


def test_the_ids_of_another_model_are_refused(trained, tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (trained / "heterrec").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    moved = SemanticIDs.build(range(ITEMS), codes(ITEMS)[::-1], SIZES, table().manifest)
    moved.write(folder / "items.parquet")
    code, _, err = run(capsys, "recommend", folder, "--history", "1")
    assert code == 2
    assert "is not the file that the model was trained with" in err

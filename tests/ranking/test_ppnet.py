import functools

import numpy as np
import pyarrow as pa
import pytest
from ranking_shop import ITEMS, OLD, SIZES, SMALL, codes, columns, data, fitted, names, table

from mmq import SemanticIDs
from mmq.data._interactions import Interactions
from mmq.errors import DataError, FormatError, SettingsError
from mmq.ranking import PPNet, RankingData, evaluate_ranking
from mmq.semantic_ids import build_manifest

DEVICES = np.array(["phone", "tablet", "desk", "watch"])


def wide_log():
    """The label of nine of ten rows is told by the device; the watch is new in the last tenth."""
    log = columns()
    rng = np.random.default_rng(1)
    device = rng.integers(0, 3, 2000)
    device[1800:] = rng.integers(0, 4, 200)
    log["label"] = ((device % 2 == 0) ^ (rng.random(2000) < 0.1)).astype(np.int8)
    return pa.table({**log, "hour": rng.integers(0, 24, 2000), "device": DEVICES[device]})


def data_of(*further):
    return RankingData.of(wide_log(), columns=further)


@functools.cache
def wide():
    """Fitted to hour and device."""
    made = PPNet(**SMALL)
    made.fit(data_of("hour", "device"), table())
    return made


@pytest.mark.parametrize("with_ids", [True, False])
def test_score_is_predict(with_ids):
    made, test = fitted(with_ids), data().test
    predicted = made.predict(test, data())
    assert predicted.dtype == np.float32
    assert predicted.shape == (len(test),)
    assert 0 < predicted.min() < predicted.max() < 1
    users, items = data().vocabulary.users.to_pylist(), data().vocabulary.items.to_pylist()
    packed = test.histories(1000)
    histories = np.split(packed.rows, np.cumsum(packed.lengths)[:-1])
    for row in range(0, len(test), 9):
        history = [items[each] for each in histories[row]]
        asked = [items[test.items[row]], "item-3", items[test.items[row]]]
        found = made.score(users[test.users[row]], history, asked)
        assert found.dtype == np.float32
        assert found.shape == (3,)
        assert found[[0, 2]] == pytest.approx(predicted[[row, row]], rel=1e-5)


def test_predictions_do_not_depend_on_order_or_blocks(monkeypatch):
    made, test = fitted(), data().test
    whole = made.predict(test, data())
    order = np.random.default_rng(0).permutation(len(test))
    turned = made.predict(test.take(order), made.numbering(data().vocabulary))
    np.testing.assert_allclose(turned, whole[order], rtol=1e-5)
    monkeypatch.setattr("mmq.ranking._ppnet._BLOCK", 7)
    np.testing.assert_allclose(made.predict(test, data()), whole, rtol=1e-5)
    alone = [made.predict(test.take(np.array([row])), data())[0] for row in range(20)]
    np.testing.assert_allclose(alone, whole[:20], rtol=1e-5)
    assert len(made.predict(test.take(slice(0, 0)), data())) == 0


def test_a_large_catalogue_is_the_same_as_a_small_one():
    """A batch's table then holds only what occurs in it."""
    made = fitted(with_ids=False)
    log = columns()
    whole = made.predict(data().test, data())
    many = Interactions.build(
        {
            "user_id": np.r_[np.full(5000, 1), log["user_id"]],
            "item_id": np.r_[[f"other-{row}" for row in range(5000)], log["item_id"]],
            "timestamp": np.r_[np.zeros(5000, np.int64), log["timestamp"]],
            "label": np.r_[np.zeros(5000, np.int8), log["label"]],
            "split": np.repeat(["train", "validation", "test"], [6600, 200, 200]),
        }
    )
    larger = RankingData.of(many)
    assert len(larger.vocabulary.items) > 5000
    np.testing.assert_allclose(made.predict(larger.test, larger), whole, rtol=1e-5)


def test_only_the_last_of_a_history_is_read():
    made, asked = fitted(), names()[:5]
    history = [f"item-{row}" for row in (7, 8, 9, 10, 11)]
    assert SMALL["history"] == 5
    expected = made.score(105, history, asked)
    assert made.score(105, ["item-30", "item-31", *history], asked).tolist() == expected.tolist()
    assert made.score(105, history[:4], asked).tolist() != expected.tolist()
    np.testing.assert_allclose(made.score(105, history[::-1], asked), expected, rtol=1e-5)


# --- what training did not see ---


def test_unknown_users_are_alike():
    made, history = fitted(with_ids=False), ["item-1", "item-2"]
    scores = made.score(-7, history, names())
    for stranger in (10**12, "Ann", "100x"):
        assert made.score(stranger, history, names()).tolist() == scores.tolist()
    assert made.score(100, history, names()).tolist() != scores.tolist()
    assert made.score("100", history, names()).tolist() == (
        made.score(100, history, names()).tolist()
    )


def test_unknown_items_are_alike_without_semantic_ids():
    made = fitted(with_ids=False)
    asked = ["item-1", "item-59", "nothing", "item-2", ""]
    scores = made.score(100, ["item-3"], asked)
    assert len(set(scores[[1, 2, 4]].tolist())) == 1
    assert len(set(scores[[0, 1, 3]].tolist())) == 3
    assert made.score(100, ["nothing"], ["item-1"]) != made.score(100, [], ["item-1"])


def test_some_ids_in_text_and_some_in_numbers():
    """A log may call items 1, 2 and 3; a caller knows them as text, and new ones beside them."""
    log = columns()
    log["item_id"] = np.array([int(each[5:]) for each in log["item_id"]])
    made = PPNet(**SMALL)
    made.fit(RankingData.of(Interactions.build(log)))
    plain = made.score(100, [3, 4], [1, 2, 3])
    assert made.score("100", ["3", "4"], ["1", "2", "3"]).tolist() == plain.tolist()
    mixed = made.score(100, ["3", "4"], ["1", "x-1", "3"])
    assert mixed[[0, 2]] == pytest.approx(plain[[0, 2]], rel=1e-6)
    assert mixed[1] == pytest.approx(made.score(100, [3, 4], [999])[0], rel=1e-6)


def test_what_stands_for_the_unknown_is_learned():
    start = PPNet(**{**SMALL, "learning_rate": 1e-12})
    start.fit(data_of("hour", "device"), table())
    learned, never = wide(), PPNet(**{**SMALL, "unknown_share": 0})
    never.fit(data_of("hour", "device"), table())
    for name in ("users", "items", "columns.0", "columns.1"):
        default = start.tensors()[name][0]
        assert np.abs(learned.tensors()[name][0] - default).max() > 1e-3, name
        np.testing.assert_allclose(never.tensors()[name][0], default, atol=1e-6)


# --- further columns ---


def test_further_columns_are_learned_from():
    made = wide()
    assert list(made.vocabulary.columns) == ["hour", "device"]
    found = evaluate_ranking(made, data_of("hour", "device"))
    assert found.figures["auc"] > 0.7
    plain = PPNet(**SMALL)
    plain.fit(data_of(), table())
    assert evaluate_ranking(plain, data_of()).figures["auc"] < 0.65
    assert len(made.vocabulary.columns["device"]) == 3  # the watch is new
    with pytest.raises(DataError, match="trained with the column 'device', which was not read"):
        made.predict(data_of("hour").test, data_of("hour"))


def test_the_order_of_columns_has_no_say():
    made, one, other = wide(), data_of("hour", "device"), data_of("device", "hour")
    expected = made.predict(one.test, one)
    assert made.predict(other.test, other).tolist() == expected.tolist()
    three = RankingData.of(
        wide_log().append_column("page", pa.array(["a"] * 2000)), columns=["page", "device", "hour"]
    )
    assert made.predict(three.test, three).tolist() == expected.tolist()


def test_score_with_columns():
    made, asked = wide(), ["item-1", "item-2", "item-3"]
    one = made.score(100, [], asked, {"device": "phone", "hour": 7})
    listed = {"hour": np.full(3, 7), "device": ["phone"] * 3}
    assert made.score(100, [], asked, listed).tolist() == one.tolist()
    arrow = {"hour": pa.array([7, 7, 7]), "device": pa.chunked_array([["phone"], ["phone"] * 2])}
    assert made.score(100, [], asked, arrow).tolist() == one.tolist()
    each = made.score(100, [], asked, {"device": ["phone", "tablet", "phone"], "hour": 7})
    assert each[[0, 2]] == pytest.approx(one[[0, 2]], rel=1e-6)
    assert each[1] < one[1]
    unknown = [made.score(100, [], asked, {"device": d, "hour": 7}) for d in ("watch", None, "")]
    assert unknown[0].tolist() == unknown[1].tolist() == unknown[2].tolist()
    for wrong, expected in (
        ({"device": "phone"}, "column 'hour'"),
        (None, "column 'hour'"),
        ({"device": ["phone"] * 2, "hour": 7}, "'device' has 2 values for 3 items"),
        ({"device": [["phone"]] * 3, "hour": 7}, "the column 'device' is of type list"),
    ):
        with pytest.raises(DataError, match=expected):
            made.score(100, [], asked, wrong)


# --- a newer table ---


def newer(changes=None, sizes=SIZES, tokenizer="5f0c", items=ITEMS + 20, first=0):
    made = codes(items)
    for row, code in (changes or {}).items():
        made[row] = code
    reference = None if tokenizer is None else {"name": "mmq", "fingerprint": tokenizer}
    manifest = build_manifest(sizes, tokenizer=reference)
    return SemanticIDs.build(names(items)[first:], made[first:], sizes, manifest)


def fresh(tokenizer="5f0c"):
    made = PPNet(**{**SMALL, "epochs": 1})
    made.fit(data(), table(tokenizer=tokenizer))
    return made


def test_a_newer_table_brings_new_items():
    made = fresh()
    before = made.score(100, ["item-1"], names())
    with pytest.raises(DataError, match="1 of the 3 items of the log have no semantic ID, 'item-7"):
        made.score(100, ["item-1"], ["item-2", "item-70"])
    made.with_ids(newer())
    assert made.score(100, ["item-1"], names()).tolist() == before.tolist()
    new = made.score(100, ["item-1"], ["item-70", "item-71"])
    alike = [f"item-{row}" for row in range(OLD, ITEMS) if (codes()[row] == codes(80)[70]).all()]
    expected = made.score(100, ["item-1"], alike)
    assert alike
    np.testing.assert_allclose(expected, new[0], rtol=1e-5)
    made.with_ids(newer(first=50))  # one without most of the old items
    assert made.score(100, ["item-70"], ["item-71"]) > 0
    with pytest.raises(DataError, match="have no semantic ID"):
        made.score(100, ["item-1"], ["item-71"])
    with pytest.raises(FormatError, match="1 of the 60 items that the model knows have another"):
        made.with_ids(newer({3: (1, 2)}))  # not in the table that it has now
    assert len(made.fitted_ids) == ITEMS


def test_the_order_of_a_table_has_no_say():
    made = fresh()
    before = made.score(100, ["item-1"], names())
    order = np.random.default_rng(0).permutation(ITEMS)
    turned = SemanticIDs.build(
        [names()[row] for row in order], codes()[order], SIZES, table().manifest
    )
    made.with_ids(turned)
    assert made.score(100, ["item-1"], names()).tolist() == before.tolist()


OTHERS = {
    "tokenizer": (newer(tokenizer="beef"), r"'mmq' \(5f0c\), not 'mmq' \(beef\): its codes mean"),
    "unknown": (newer(tokenizer=None), r"'mmq' \(5f0c\), not unknown"),
    "sizes": (newer(sizes=(4, 4)), r"\[4, 3\] codes, not \[4, 4\]"),
    "moved": (
        newer({3: (1, 2), 7: (2, 2), 70: (0, 0)}),
        "2 of the 60 items that the model knows have another semantic ID in this table",
    ),
}


@pytest.mark.parametrize(("ids", "expected"), OTHERS.values(), ids=OTHERS)
def test_a_table_in_which_codes_mean_something_else(ids, expected):
    assert codes()[3].tolist() != [1, 2]
    assert codes()[7].tolist() != [2, 2]
    made = fresh()
    before = made.score(100, ["item-1"], names())
    with pytest.raises(FormatError, match=expected):
        made.with_ids(ids)
    assert made.score(100, ["item-1"], names()).tolist() == before.tolist()


def test_tables_that_do_not_say_where_they_are_from():
    made = fresh(tokenizer=None)
    made.with_ids(newer(tokenizer=None))
    with pytest.raises(FormatError, match="none of the model's items"):
        made.with_ids(newer(tokenizer=None, first=ITEMS))
    assert made.score(100, ["item-1"], ["item-70"]) > 0  # the table before stays


def test_rankers_that_cannot_take_a_table():
    with pytest.raises(DataError, match="not fitted yet"):
        PPNet().with_ids(table())
    with pytest.raises(SettingsError, match="trained without semantic IDs"):
        fitted(with_ids=False).with_ids(table())


# --- mistakes ---


@pytest.mark.parametrize(
    "ask",
    [
        lambda made: made.predict(data().test, data()),
        lambda made: made.score(1, [], ["item-1"]),
        lambda made: made.numbering(data().vocabulary),
        lambda made: made.vocabulary,
        lambda made: made.tensors(),
        lambda made: evaluate_ranking(made, data()),
    ],
)
def test_one_that_is_not_fitted_says_so(ask):
    with pytest.raises(DataError, match="the ranker is not fitted yet; call fit or load one"):
        ask(PPNet())


def test_bad_questions():
    with pytest.raises(DataError, match="no items were given"):
        fitted().score(100, ["item-1"], [])
    with pytest.raises(DataError, match="not a mix"):
        fitted().score(100, [1], ["item-1"])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"hiden": (8,)}, "did you mean 'hidden'"),
        ({"hidden": ()}, "at least 1"),
        ({"codes": "add"}, "'concat', 'sum' or 'gated'"),
        ({"dropout": 1.0}, "less than 1"),
        ({"unknown_share": 1.5}, "less than or equal to 1"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_bad_settings(settings, expected):
    with pytest.raises(SettingsError, match=expected):
        PPNet(**settings)
    with pytest.raises(SettingsError, match="'epochs' beside them"):
        PPNet(fitted().settings, epochs=3)


def test_a_label_is_not_read_to_predict_itself():
    log = columns()
    log["label"][-1] = 1 - log["label"][-1]
    turned = RankingData.of(Interactions.build(log))
    assert turned.test.labels.tolist() != data().test.labels.tolist()
    found = fitted().predict(turned.test, turned)
    assert found.tolist() == fitted().predict(data().test, data()).tolist()

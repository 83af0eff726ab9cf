import functools

import numpy as np
import pytest
from ranking_shop import SMALL, columns, data, fitted, table
from sklearn.metrics import log_loss as reference_log_loss
from sklearn.metrics import roc_auc_score

from mmq.data._interactions import Interactions
from mmq.errors import DataError
from mmq.metrics.ranking import popularity_strata
from mmq.ranking import PPNet, RankingData, evaluate_ranking


@functools.cache
def found():
    return evaluate_ranking(fitted(), data())


def test_figures_are_those_of_a_reference():
    labels, scores = data().test.labels, found().predictions
    figures = found().figures
    assert np.array_equal(scores, fitted().predict(data().test, data()))
    assert figures["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert figures["log_loss"] == pytest.approx(reference_log_loss(labels, scores.astype(float)))
    assert figures["calibration_ratio"] == pytest.approx(scores.mean() / labels.mean(), rel=1e-5)
    assert 0 < figures["calibration_error"] < 0.5
    assert (found().rows, found().positives) == (len(labels), int(labels.sum()))
    assert found().calibration.rows.sum() == len(labels)


def test_gauc_by_loops():
    """Over users who have rows of both labels, weighted by their rows and not."""
    test, scores = data().test, found().predictions
    values, weights = [], []
    for user in np.unique(test.users):
        rows = test.users == user
        if 0 < test.labels[rows].sum() < rows.sum():
            values.append(roc_auc_score(test.labels[rows], scores[rows]))
            weights.append(int(rows.sum()))
    figures, by_user = found().figures, found().by_user
    assert figures["gauc"] == pytest.approx(np.average(values, weights=weights))
    assert figures["gauc_unweighted"] == pytest.approx(np.mean(values))
    assert (by_user.eligible_users, by_user.eligible_rows) == (len(values), sum(weights))
    assert by_user.all_users == len(np.unique(test.users)) > len(values)


def test_strata_by_loops():
    """By the impressions that each item has in training: from very many to one."""
    rng = np.random.default_rng(0)
    items = np.minimum(rng.exponential(5, 2000), 39).astype(np.int64)
    items[1800:] = rng.integers(0, 45, 200)
    log = {**columns(), "item_id": np.array([f"item-{item}" for item in items])}
    skewed = RankingData.of(Interactions.build(log))
    made = PPNet(**{**SMALL, "epochs": 1})
    made.fit(skewed, table())
    result = evaluate_ranking(made, skewed)
    train, test, names = skewed.train, skewed.test, skewed.vocabulary.items
    shown = np.bincount(train.items, minlength=len(names))
    known = np.flatnonzero(shown)
    assert {4, 5} <= set(shown[test.items].tolist())
    assert made.vocabulary.items.equals(names.take(known))
    assert made.vocabulary.shown.tolist() == shown[known].tolist()
    ranks = popularity_strata(shown[known])
    rank = {int(item): int(value) for item, value in zip(known, ranks, strict=True)}
    members = {
        "head": lambda item: rank.get(item) == 1,
        "between": lambda item: rank.get(item) == 0,
        "tail": lambda item: rank.get(item) == -1,
        "cold": lambda item: shown[item] < 5,
        "new": lambda item: shown[item] == 0,
    }
    assert set(result.strata) == set(members)
    for name, stratum in result.strata.items():
        rows = np.array([members[name](int(item)) for item in test.items])
        assert stratum.rows == int(rows.sum()) > 0
        assert stratum.items == len(set(test.items[rows].tolist()))
        assert stratum.positives == int(test.labels[rows].sum())
        expected = roc_auc_score(test.labels[rows], result.predictions[rows])
        assert stratum.auc == pytest.approx(expected, abs=1e-12)
    parts = (result.strata[name].rows for name in ("head", "between", "tail", "new"))
    assert sum(parts) == len(test)


def test_a_stratum_of_one_label_has_no_auc():
    some = data().test.take(np.flatnonzero(data().test.items != 0))
    new = fitted().numbering(data().vocabulary).items[some.items] == 0
    alike = some.take(np.flatnonzero(~new | (some.labels == 1)))
    stratum = evaluate_ranking(fitted(), data(), alike).strata["new"]
    assert stratum.auc is None
    assert stratum.positives == stratum.rows > 0
    none = evaluate_ranking(fitted(), data(), some.take(np.flatnonzero(~new))).strata["new"]
    assert none == (0, 0, 0, None)


def test_any_part_can_be_measured():
    validation = evaluate_ranking(fitted(), data(), data().validation)
    assert validation.figures["auc"] == max(epoch["auc"] for epoch in fitted().log)
    assert validation.rows == 200
    assert evaluate_ranking(fitted(), data(), data().train).rows == 1600


def labelled(change):
    log = columns()
    change(log["label"], log["user_id"])
    return RankingData.of(Interactions.build(log))


def test_a_part_of_one_label_cannot_be_measured():
    def all_liked(labels, users):
        labels[1800:] = 1

    made = labelled(all_liked)
    with pytest.raises(DataError, match="all 200 rows of the test part have the label 1, so there"):
        evaluate_ranking(fitted(), made)
    with pytest.raises(DataError, match="the given part"):
        evaluate_ranking(fitted(), made, made.test.take(slice(3, 190)))


def test_without_a_user_of_both_labels_gauc_is_undefined_and_all_else_is_told():
    def by_user(labels, users):
        labels[1800:] = users[1800:] % 2

    made = labelled(by_user)
    result = evaluate_ranking(fitted(), made)
    assert result.by_user.eligible_users == result.by_user.eligible_rows == 0
    assert result.by_user.all_users == len(np.unique(made.test.users))
    expected = roc_auc_score(made.test.labels, result.predictions)
    assert result.figures["auc"] == pytest.approx(expected)
    undefined = {name for name, value in result.figures.items() if np.isnan(value)}
    assert undefined == {"gauc", "gauc_unweighted"}


def test_one_user_with_both_labels_is_enough():
    def but_one(labels, users):
        labels[1800:] = users[1800:] % 2
        labels[np.flatnonzero(users == users[1900])[-1]] ^= 1

    made = labelled(but_one)
    assert evaluate_ranking(fitted(), made).by_user.eligible_users == 1


def test_a_user_of_one_label_has_no_say_in_gauc():
    def one_label(labels, users):
        labels[1800:][users[1800:] == 105] = 1

    made = labelled(one_label)
    result = evaluate_ranking(fitted(), made)
    user = made.vocabulary.users.index(105).as_py()
    assert user in made.test.users
    assert user not in result.by_user.users
    assert result.by_user.all_rows - result.by_user.eligible_rows >= (made.test.users == user).sum()


def test_an_item_without_semantic_id_is_refused():
    made = PPNet(**{**SMALL, "epochs": 1})
    made.fit(data(), table())
    log = columns()
    log["item_id"] = log["item_id"].astype("<U9")
    log["item_id"][1999] = "item-9999"
    with pytest.raises(
        DataError, match="1 of the 61 items of the log have no semantic ID, 'item-9"
    ):
        evaluate_ranking(made, RankingData.of(Interactions.build(log)))

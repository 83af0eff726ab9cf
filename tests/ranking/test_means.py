"""Means: scikit-learn's regression on the same rates, saved and loaded, and in the verdict."""

import numpy as np
import pyarrow as pa
import pytest
from ranking_shop import columns, data, fitted, table
from sklearn.linear_model import LogisticRegression

from mmq.data._interactions import Interactions
from mmq.errors import DataError, FormatError, SettingsError
from mmq.ranking import Means, Ranker, RankingData, evaluate_ranking
from mmq.ranking._verdict import beside_means, fitted_means


def test_it_is_a_logistic_regression_on_rates():
    made = Means()
    fit = made.fit(data())
    numbering, train = made.numbering(data().vocabulary), data().train
    rates = numbering.log_odds(train, 10.0, left_out=True)
    theirs = LogisticRegression(C=1e3, tol=1e-10, max_iter=1000).fit(rates, train.labels)
    weights = made.tensors()["weights"]
    np.testing.assert_allclose(weights[1:], theirs.coef_[0], atol=2e-3)
    np.testing.assert_allclose(weights[0], theirs.intercept_[0], atol=2e-3)
    test = data().test
    unlike = theirs.predict_proba(numbering.log_odds(test, 10.0, left_out=False))[:, 1]
    np.testing.assert_allclose(made.predict(test, data()), unlike, atol=2e-3)
    assert {"auc", "gauc", "log_loss"} <= fit.validation.keys()
    assert (fit.epochs, fit.best_epoch) == (0, 0)


def test_saved_and_loaded_it_predicts_the_same(tmp_path):
    made = fitted_means(data())
    made.save(tmp_path / "model")
    loaded = Ranker.load(tmp_path / "model")
    assert loaded.kind == "means"
    np.testing.assert_array_equal(
        loaded.predict(data().test, data()), made.predict(data().test, data())
    )
    user, items = data().vocabulary.users[0].as_py(), ["item-1", "item-2", "item-199"]
    np.testing.assert_array_equal(loaded.score(user, [], items), made.score(user, [], items))
    with pytest.raises(SettingsError, match="reads no semantic IDs; leave --ids out"):
        loaded.with_ids(table())
    with pytest.raises(FormatError, match="one weight for each rate"):
        loaded.restore({"weights": np.zeros(2)}, tmp_path)


def test_a_training_part_of_one_label_teaches_that():
    log = columns()
    log["label"][: int(0.8 * len(log["label"]))] = 1
    made = RankingData.of(Interactions.build(log))
    predicted = fitted_means(made).predict(made.test, made)
    assert np.isfinite(predicted).all()
    assert predicted.min() > 0.9


def test_what_it_refuses():
    with pytest.raises(DataError, match="not fitted yet"):
        Means().predict(data().test, data())
    with pytest.raises(SettingsError, match="unknown setting"):
        Means(epochs=3)


def test_the_verdict_beside_means():
    """The codes tell what is liked here, and means cannot see them; without, nobody is ahead."""
    test = data().test
    means = fitted_means(data())
    learned = fitted(epochs=8, learning_rate=0.03)
    ahead = beside_means(evaluate_ranking(learned, data()), means, data(), test, "test")
    assert ahead.auc.p_value < 0.05
    assert ahead.gauc.mean > 0.1
    assert ahead.sentence.startswith("ahead of means in AUC (")
    assert "ahead of means in GAUC (" in ahead.sentence
    assert "or use means" not in ahead.sentence
    same = beside_means(evaluate_ranking(means, data()), means, data(), test, "test")
    assert same.sentence.startswith("not significantly different from means in AUC (")
    assert same.sentence.endswith("or use means")


def test_histories_do_not_tell_labels_where_only_likes_have_times():
    """Users like one kind at a time; rows that were not liked have no time. A history of training
    rows at their own times would be of the row's kind where it was liked, and of any kind where it
    was not, though labels do not depend on kinds at all."""
    rng = np.random.default_rng(0)
    users, count = 60, 200
    user = np.repeat(np.arange(users), count)
    kind = np.tile(np.arange(count) // 40 % 4, users)  # a session is of one kind
    labels = rng.integers(0, 2, len(user))
    item = np.where(labels, kind, rng.integers(0, 4, len(user))) * 25 + rng.integers(
        0, 25, len(user)
    )
    time = np.tile(np.arange(count), users) + 1000
    part = np.where(np.tile(np.arange(count), users) < 160, "train", "validation")
    part[-count // 5 :: 2] = "test"
    log = {
        "user_id": user,
        "item_id": item,
        "timestamp": np.where((labels == 1) | (part != "train"), time, np.iinfo(np.int64).min),
        "label": labels,
        "split": part,
    }
    made = RankingData.of(_without_times(log))
    found = made.train.histories(10)
    rows = np.repeat(np.arange(len(made.train)), found.lengths)
    items = made.vocabulary.items.to_numpy()
    alike = items[found.rows] // 25 == items[made.train.items[rows]] // 25
    liked = made.train.labels[rows] == 1
    assert abs(alike[liked].mean() - alike[~liked].mean()) < 0.03
    assert not (found.rows == made.train.items[rows]).any()
    assert not data().train.dealt  # the shop's own log has all times, and keeps them


def _without_times(log):
    times = pa.array(log["timestamp"], mask=log["timestamp"] == np.iinfo(np.int64).min)
    return Interactions.build({**log, "timestamp": times})

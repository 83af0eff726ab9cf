"""Where a model stands, in words."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmq.metrics.retrieval import Ranks
from mmq.metrics.standing import Standing
from mmq.recommenders import HeterRec, ItemKNN, Popularity, SASRec, evaluate
from mmq.recommenders._verdict import baselines, measured, standing, verdict
from mmq.testing import tiny_retrieval_data


class Knowing(Popularity):
    """Scores the right item first, or last."""

    sign = 1

    def score_block(self, histories):
        scores = torch.zeros(len(histories), len(self.items.item_ids))
        cases = tiny_retrieval_data().validation
        for row, end in enumerate(histories.end):
            case = int(np.flatnonzero(cases.histories.end == end)[0])
            scores[row, cases.targets[case]] = self.sign
        return scores


def sentences(model):
    data = tiny_retrieval_data()
    others = measured(baselines(data, model.kind), data.validation)
    found = evaluate(model, data.validation)
    return dict(zip(others, verdict(model, found, others, "validation"), strict=True))


def knowing(sign):
    made = Knowing(device="cpu")
    made.learn(tiny_retrieval_data())
    made.sign = sign
    return made


def test_ahead_and_behind():
    ahead = sentences(knowing(1))
    assert ahead.keys() == {"item-knn"}  # no model stands beside itself
    assert ahead["item-knn"].startswith("ahead of item-knn (1.0000 against 0.")
    assert "N@10 on validation; with the history left out 1.0000 against 0." in ahead["item-knn"]
    assert "use" not in ahead["item-knn"]
    behind = sentences(knowing(-1))["item-knn"]
    assert behind.startswith("behind item-knn (0.0000 against 0.")
    assert behind.endswith(": use item-knn")


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (SASRec(hidden_dim=8, heads=2, epochs=0, device="cpu"), "train longer, or use "),
        (HeterRec(hidden_dim=8, heads=2, epochs=0, device="cpu"), "train longer, or use "),
        (
            HeterRec(hidden_dim=8, heads=2, epochs=0, item_token=False, device="cpu"),
            "train longer, set item_token=true, or use ",
        ),
    ],
)
def test_what_to_do_depends_on_the_model(model, advice):
    model.fit(tiny_retrieval_data())
    found = sentences(model)
    assert found.keys() == {"popularity", "item-knn"}
    for kind, sentence in found.items():
        assert sentence.endswith(f": {advice}{kind}")


def test_item_knn_stands_beside_popularity_alone():
    made = ItemKNN()
    made.fit(tiny_retrieval_data())
    assert sentences(made).keys() == {"popularity"}


def test_protocols_may_disagree():
    """Who shows what users have seen already is behind where that competes alone."""
    data = tiny_retrieval_data()
    other = knowing(1)
    whole, worse = evaluate(other, data.validation), evaluate(knowing(-1), data.validation)
    mixed = replace(worse, left_out=whole.left_out)
    third = Ranks(np.full(whole.cases, 2), np.ones(whole.cases, np.int64))  # gains 1 / log2(4)
    half = replace(whole, ranks=third, left_out=replace(whole.left_out, ranks=third))
    (sentence,) = verdict(other, mixed, {"item-knn": half}, "test")
    assert sentence == (
        "behind item-knn where the history competes (0.0000 against 0.5000, N@10 on test), ahead "
        "of it where the history is left out (1.0000 against 0.5000): use it where the history is "
        "left out (--exclude-history)"
    )


def test_a_difference_that_users_do_not_show_is_none():
    data = tiny_retrieval_data()
    found = evaluate(knowing(1), data.validation)
    assert standing(found, found) == Standing(1.0, 1.0, 0)
    (sentence,) = verdict(knowing(1), found, {"item-knn": found}, "test")
    assert sentence.startswith("not significantly different from item-knn (1.0000 against 1.0000")


def test_a_log_with_nothing_to_learn_from_has_no_baselines():
    data = tiny_retrieval_data()
    assert baselines(data._replace(train=data.train.latest(1)), "sasrec") == {}

"""What rankers learn of the shop's rule, and of what training did not see."""

import itertools

import numpy as np
import pytest
from ranking_shop import LEARNED, OLD, SMALL, codes, columns, data, fitted, table

from mmq.data._interactions import Interactions
from mmq.metrics.ranking import auc
from mmq.ranking import PPNet, RankingData, evaluate_ranking


@pytest.mark.parametrize(
    "changes",
    [{}, {"codes": "sum"}, {"codes": "gated"}, {"item_id": False}, {"code_features": "prefixes"}],
    ids=str,
)
def test_the_rule_of_the_shop_is_learned_and_holds_for_new_items(changes):
    found = evaluate_ranking(fitted(**LEARNED, **changes), data())
    assert found.figures["auc"] > 0.8
    assert found.figures["gauc"] > 0.8
    assert found.strata["new"].rows > 50
    assert found.strata["new"].auc > 0.75


def test_item_ids_alone_know_nothing_of_new_items():
    made = fitted(with_ids=False, **LEARNED)
    found = evaluate_ranking(made, data())
    new = np.isin(data().test.items, np.flatnonzero(made.numbering(data().vocabulary).items == 0))
    assert found.strata["new"].rows == int(new.sum())
    old = ~new
    labels = data().test.labels
    assert auc(labels[old], found.predictions[old]) > 0.75
    assert found.strata["new"].auc < 0.65
    # of one user, all new items are alike
    for user in np.unique(data().test.users[new]):
        rows = np.flatnonzero(new & (data().test.users == user))
        histories = data().test.take(rows).histories(SMALL["history"])
        parts = np.split(histories.rows, np.cumsum(histories.lengths)[:-1])
        for one, other in itertools.pairwise(range(len(rows))):
            if parts[one].tolist() == parts[other].tolist():
                # not to the bit: on some machines products differ with the place in a batch
                expected = pytest.approx(found.predictions[rows[other]], rel=1e-5)
                assert found.predictions[rows[one]] == expected


def test_without_item_ids_items_of_one_semantic_id_are_one():
    made = fitted(**LEARNED, item_id=False)
    names = data().vocabulary.items.to_pylist()
    rows = table().find(data().vocabulary.items)
    scores = made.score(100, [], names)
    for one in range(len(names)):
        for other in range(one):
            alike = codes()[rows[one]].tolist() == codes()[rows[other]].tolist()
            assert not alike or scores[one] == pytest.approx(scores[other], rel=1e-5)
    assert len(set(scores.tolist())) > len({tuple(each) for each in codes()[rows].tolist()}) / 2


def test_what_users_liked_is_heard():
    """Users whom nobody knows: only their history tells of their kind."""
    log = columns()
    log["user_id"] = np.where(np.arange(2000) % 10 == 0, log["user_id"], np.arange(2000) // 50)
    rng = np.random.default_rng(0)
    kind = (log["user_id"] + np.array([codes()[int(each[5:]), 0] for each in log["item_id"]])) % 2
    log["label"] = ((kind == 0) ^ (rng.random(2000) < 0.05)).astype(np.int8)
    made = PPNet(**{**SMALL, "learning_rate": 0.05, "epochs": 12, "history": 20}, patience=12)
    made.fit(RankingData.of(Interactions.build(log)), table())
    even = [f"item-{row}" for row in range(OLD) if codes()[row, 0] % 2 == 0]
    odd = [f"item-{row}" for row in range(OLD) if codes()[row, 0] % 2]
    of_even, of_odd = (made.score(-1, liked[:8], [even[9], odd[9]]) for liked in (even, odd))
    assert of_even[0] > of_odd[0]
    assert of_even[1] < of_odd[1]


def test_bfloat16_learns_as_well():
    """The path of a GPU, on the CPU's own bfloat16."""
    made = PPNet(**{**SMALL, **LEARNED}, precision="bfloat16")
    made.fit(data(), table())
    plain = fitted(**LEARNED)
    assert made.log != plain.log
    assert made.log[0]["loss"] == pytest.approx(plain.log[0]["loss"], rel=0.02)
    assert max(epoch["auc"] for epoch in made.log) > 0.8
    assert {value.dtype for value in made.tensors().values()} == {np.dtype(np.float32)}

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mmq.data._interactions import Interactions
from mmq.data._sequences import Packed, Sequences
from mmq.errors import DataError, SettingsError
from mmq.recommenders import (
    HeterRec,
    Popularity,
    RetrievalData,
    SASRec,
    SplitSettings,
    _network,
    evaluate,
)
from mmq.recommenders._batches import history_batch, training_batch
from mmq.recommenders._sasrec import SASRecNetwork, SASRecSettings
from mmq.semantic_ids import SemanticIDs
from mmq.testing import tiny_retrieval_data

CPU = torch.device("cpu")
SMALL = {"hidden_dim": 8, "heads": 2}


def network_of(**changes):
    torch.manual_seed(0)
    return SASRecNetwork(12, SASRecSettings(**{**SMALL, **changes})).double().eval()


def sequences_of(*values):
    rows = np.array([row for each in values for row in each])
    return Sequences.of(Packed(rows, np.array([len(each) for each in values])))


def test_the_loss_is_the_cross_entropy_of_every_next_item():
    network, windows = network_of(), sequences_of([3, 1, 4, 1], [5, 9])
    loss = network(training_batch(windows, 1, CPU))
    terms = []
    for history, target in (([3], 1), ([3, 1], 4), ([3, 1, 4], 1), ([5], 9)):
        user = network.last(history_batch(sequences_of(history), CPU))
        terms.append(cross_entropy(network.item_scores(user), torch.tensor([target])))
    torch.testing.assert_close(loss, torch.stack(terms).mean())


def test_of_a_sample_the_loss_reads_its_rows_alone(monkeypatch):
    monkeypatch.setattr(_network, "MOST_DENSE", 0)
    network, windows = network_of(negatives=3), sequences_of([3, 1, 4, 1], [5, 9])
    batch, targets = training_batch(windows, 1, CPU), np.array([1, 4, 1, 9])
    sample = network.sample(targets, np.random.default_rng(0))
    assert set(targets) <= set(sample.rows.tolist())
    assert len(sample.rows) == 3 + 3
    users = network.users(batch.histories)
    logits = users @ network.items[sample.rows].T + sample.log_weights
    loss = network(batch._replace(sample=sample))
    torch.testing.assert_close(loss, cross_entropy(logits, sample.places(batch.targets[:, 0])))
    loss.backward()
    read = {3, 1, 4, 5} | set(sample.rows.tolist())
    assert set(network.items.grad.coalesce().indices()[0].tolist()) == read


@pytest.mark.parametrize("made", [SASRec, HeterRec])
def test_all_others_drawn_are_all_items(made):
    """As many negatives as there are items give the training that compares all."""
    whole = made(**SMALL, epochs=2)
    whole.fit(tiny_retrieval_data())
    others = whole.network.compared - 1
    drawn = made(**SMALL, epochs=2, negatives=others)
    drawn.fit(tiny_retrieval_data())
    assert drawn.network.negatives == others
    for one, other in zip(whole.log, drawn.log, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_large_tables_learn_what_is_read_unless_they_decay(monkeypatch):
    assert not network_of(negatives=3).sparse
    monkeypatch.setattr(_network, "MOST_DENSE", 11)
    assert network_of(negatives=3).sparse
    assert not network_of(negatives=3, weight_decay=0.1).sparse
    assert not network_of().sparse


def test_how_many_are_drawn_follows_from_the_items():
    settings = SASRecSettings()
    assert settings.resolved_negatives(20_000) is None
    assert settings.resolved_negatives(20_001) == 2048
    assert SASRecSettings(negatives=5).resolved_negatives(5) is None
    assert SASRecSettings(negatives=5).resolved_negatives(6) == 5


def test_order_and_place_count():
    network = network_of(history=4)
    users = [
        network.last(history_batch(sequences_of(each), CPU))
        for each in ([1, 2, 3], [2, 1, 3], [3, 1, 2, 3])
    ]
    assert (users[0] - users[1]).abs().max() > 1e-6
    assert (users[0] - users[2]).abs().max() > 1e-6


def test_only_the_last_items_are_read():
    made = SASRec(**SMALL, history=3, epochs=1)
    made.fit(tiny_retrieval_data())
    long, short = sequences_of([9, 8, 7, 1, 2, 3]), sequences_of([1, 2, 3])
    torch.testing.assert_close(made.score_block(long), made.score_block(short))


def test_heads_share_the_width():
    with pytest.raises(SettingsError, match="hidden_dim 8 cannot be shared by 3 heads"):
        SASRec(hidden_dim=8, heads=3)


def test_nothing_before_the_fit():
    with pytest.raises(DataError, match="not fitted yet"):
        _ = SASRec().network
    with pytest.raises(DataError, match="not fitted yet"):
        _ = SASRec().items


ROUND, WALKS = 24, 60


@pytest.fixture(scope="module")
def walks():
    """Item i is followed by i + 1, and the last by the first; all are met alike."""
    generator = np.random.default_rng(0)
    starts = generator.integers(0, ROUND, WALKS)
    items = (starts[:, None] + np.arange(9)) % ROUND
    columns = {
        "user_id": np.repeat(np.arange(WALKS), 9),
        "item_id": items.ravel(),
        "timestamp": np.arange(items.size),
    }
    codes = [[row % 5, row // 5] for row in range(ROUND)]
    ids = SemanticIDs.build(range(ROUND), codes, [5, 5])
    return RetrievalData.of(Interactions.build(columns), ids, SplitSettings(min_interactions=0))


LEARNING = {
    "hidden_dim": 32,
    "heads": 2,
    "epochs": 25,
    "batch_size": 10,
    "dropout": 0.1,
    "learning_rate": 3e-3,
}


@pytest.mark.parametrize(
    "recommender",
    [
        SASRec(**LEARNING),
        HeterRec(**LEARNING),
        HeterRec(**LEARNING, objective="codes", token_scope="history", steps=2),
        HeterRec(**LEARNING, head="autoregressive", token_layers=0),
    ],
    ids=["sasrec", "heterrec", "listwise", "autoregressive"],
)
def test_a_rule_is_learned(walks, recommender):
    recommender.fit(walks)
    figures = evaluate(recommender, walks.test).figures
    assert figures["recall@5"] > 0.95
    assert figures["ndcg@5"] > 0.8
    found = recommender.recommend([[7, 8, 9], [22, 23]], k=2).item_ids
    assert [wanted in items for wanted, items in zip([10, 0], found, strict=True)] == [True, True]


def test_popularity_does_not_learn_it(walks):
    popularity = Popularity()
    popularity.fit(walks)
    assert evaluate(popularity, walks.test).figures["recall@5"] < 0.5

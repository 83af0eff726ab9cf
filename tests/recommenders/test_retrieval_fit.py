import numpy as np
import pytest
import torch

from mmq.errors import DivergedError
from mmq.made_from import Checkpoint
from mmq.recommenders import HeterRec, SASRec, evaluate
from mmq.recommenders._fit import RetrievalTask
from mmq.recommenders._sasrec import SASRecNetwork, SASRecSettings
from mmq.testing import tiny_retrieval_data
from mmq.training._early_stopping import EarlyStoppedTraining
from mmq.training._loop import train

SMALL = {"hidden_dim": 8, "heads": 2, "item_layers": 1, "history": 5, "batch_size": 16}


def training_of(figures, **changes):
    """A training whose validation gives ``figures``, one an epoch; and the weights after each."""
    torch.manual_seed(0)
    settings = SASRecSettings(**{**SMALL, "epochs": 9, "patience": 3, **changes})
    network = SASRecNetwork(30, settings)
    left, seen = iter(figures), []

    def validate():
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"ndcg@10": next(left)}

    task = RetrievalTask(network, settings, tiny_retrieval_data().train, 1, validate)
    return EarlyStoppedTraining(task, settings), seen


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("figures", "best", "epochs"),
    [
        ([0.1, 0.3, 0.2, 0.3, 0.1], 2, 5),  # as good is not better
        ([0.5, 0.4, 0.3, 0.2], 1, 4),
        ([0.0, 0.0, 0.0, 0.0], 1, 4),
        ([0.1, 0.0, 0.0, 0.2, 0.0, 0.0, 0.3, 0.4, 0.5], 9, 9),
    ],
)
def test_it_stops_when_it_no_longer_gets_better_and_keeps_the_best(figures, best, epochs):
    training, seen = training_of(figures)
    trained = train(training)
    assert trained.epochs == len(trained.log) == len(seen) == epochs
    assert training.best_epoch == best
    assert same(training.best, seen[best - 1])
    assert not same(training.best, seen[best - 2])


def test_a_stopped_training_stays_stopped_when_it_is_resumed(tmp_path):
    figures = [0.1, 0.3, 0.2, 0.1, 0.1]
    training, seen = training_of(figures)
    train(training, Checkpoint(tmp_path / "checkpoint"))
    again, unseen = training_of([])
    trained = train(again, Checkpoint(tmp_path / "checkpoint", resume=True))
    assert unseen == []
    assert (trained.epochs, again.best_epoch) == (5, 2)
    assert same(again.best, seen[1])


def test_killed_between_the_best_and_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr("mmq.training._loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    figures = [0.1, 0.3, 0.2, 0.1, 0.1]
    whole, seen = training_of(figures)
    log = train(whole).log
    killed, _ = training_of(figures[:3])
    with pytest.raises(StopIteration):  # the fourth validation
        train(killed, Checkpoint(tmp_path / "checkpoint"))
    resumed, _ = training_of(figures[3:])
    trained = train(resumed, Checkpoint(tmp_path / "checkpoint", resume=True))
    assert trained.log == log
    assert same(resumed.best, seen[1])
    assert same(resumed.task.network.state_dict(), seen[-1])


def test_the_weights_of_the_best_epoch_are_kept_not_the_last():
    made = SASRec(**{**SMALL, "learning_rate": 0.2}, epochs=20, patience=20)  # far too high
    fit = made.fit(tiny_retrieval_data())
    scores = [epoch["ndcg@10"] for epoch in made.log]
    assert fit.best_epoch == 1 + int(np.argmax(scores)) < fit.epochs == 20
    figures = evaluate(made, tiny_retrieval_data().validation).figures
    assert figures["ndcg@10"] == max(scores) > scores[-1]
    assert figures == fit.validation
    assert fit.seconds > 0
    assert 0 < fit.seconds_per_epoch <= fit.seconds


def test_the_loss_falls_and_is_that_of_chance_at_the_start():
    made = SASRec(**{**SMALL, "learning_rate": 0.01}, epochs=10, dropout=0.0)
    made.fit(tiny_retrieval_data())
    losses = [epoch["loss"] for epoch in made.log]
    assert losses[0] == pytest.approx(np.log(30), abs=0.3)
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize("kind", [SASRec, HeterRec])
def test_a_training_that_diverges_says_so(kind):
    with pytest.raises(DivergedError, match="lower"):
        kind(**{**SMALL, "learning_rate": 1e30}, epochs=4).fit(tiny_retrieval_data())


def test_every_setting_of_the_training_has_its_say():
    plain = SASRec(**SMALL, epochs=2)
    plain.fit(tiny_retrieval_data())
    for changes in (
        {"batch_size": 7},
        {"learning_rate": 1e-3},
        {"schedule": "constant"},
        {"warmup": 0.9},
        {"weight_decay": 0.3},
        {"dropout": 0.1},
        {"history": 3},
        {"seed": 5},
    ):
        made = SASRec(**{**SMALL, "epochs": 2, **changes})
        made.fit(tiny_retrieval_data())
        assert made.log != plain.log, changes


def test_bfloat16_learns_as_well():
    """The path of a GPU, on the CPU's own bfloat16."""
    plain = HeterRec(**SMALL, epochs=2, dropout=0.0)
    plain.fit(tiny_retrieval_data())
    for kind in (SASRec, HeterRec):
        made = kind(**SMALL, epochs=2, dropout=0.0, precision="bfloat16")
        made.fit(tiny_retrieval_data())
        assert made.log[-1]["loss"] < made.log[0]["loss"]
    assert made.log[-1]["loss"] == pytest.approx(plain.log[-1]["loss"], rel=0.02)
    assert made.log != plain.log


def test_epochs_that_are_not_set_make_so_many_steps():
    """Some 2,000: 15 epochs of a large log, more of a small one, never more than 100."""

    def usual(sequences, batch_size):
        train = tiny_retrieval_data().train.take(np.zeros(sequences, int))  # a window each
        settings = SASRecSettings(**{**SMALL, "history": 50, "batch_size": batch_size})
        task = RetrievalTask(SASRecNetwork(30, settings), settings, train, 1, dict)
        return task.usual_epochs

    assert SASRecSettings().epochs is None
    assert [usual(40, 1), usual(1000, 20), usual(1010, 20), usual(40_000, 64)] == [50, 40, 40, 15]
    assert usual(40, 4) == usual(40, 100) == 100

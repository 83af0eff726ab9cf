import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ranking_shop import LEARNED, OLD, SMALL, columns, data, fitted, table

from mmq.data._interactions import Interactions
from mmq.errors import DataError, DivergedError, FormatError, SettingsError
from mmq.made_from import Checkpoint
from mmq.metrics.calibration import log_loss
from mmq.metrics.ranking import auc
from mmq.ranking import PPNet, RankingData, RankingSplit
from mmq.ranking._batches import hidden, shown_batch
from mmq.ranking._fit import Shuffled
from mmq.testing._interruption import kill_after

CPU = torch.device("cpu")


def same(one, other):
    """Whether two rankers have the same weights to the bit."""
    first, second = one.tensors(), other.tensors()
    assert first.keys() == second.keys()
    return all(np.array_equal(first[name], second[name]) for name in first)


# --- the order of impressions ---


@st.composite
def orders(draw):
    rows, size, together = (draw(st.integers(1, high)) for high in (300, 40, 320))
    return Shuffled(rows, size, together, draw(st.integers(0, 5)))


@given(order=orders(), run=st.sampled_from([1, 8, 30]))
def test_every_impression_is_met_once(order, run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmq.ranking._fit._RUN", run)
        batches = list(order)
        assert len(order) == len(batches)
        assert sorted(np.concatenate(batches).tolist()) == list(range(order.rows))
        assert max(len(batch) for batch in batches) <= order.size
        again = [batch.tolist() for batch in order]
    assert again == [batch.tolist() for batch in batches]


@given(order=orders(), run=st.sampled_from([1, 8, 30]))
def test_few_rows_are_shuffled_together(order, run):
    """What is begun and not ended is never more than ``together`` rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmq.ranking._fit._RUN", run)
        batches = [set((batch // min(run, order.together)).tolist()) for batch in order]
    last = {each: number for number, runs in enumerate(batches) for each in runs}
    begun = set()
    for number, runs in enumerate(batches):
        begun |= runs
        open_runs = [each for each in begun if last[each] >= number]
        assert len(open_runs) * min(run, order.together) <= order.together


def test_batches_are_even_and_in_no_order():
    sizes = [len(batch) for batch in Shuffled(1000, 300, 5000, 0)]
    assert sizes == [250] * 4
    one, other = (np.concatenate(list(Shuffled(1000, 300, 5000, seed))) for seed in (0, 1))
    assert one.tolist() != other.tolist()
    assert abs(np.corrcoef(one, np.arange(1000))[0, 1]) < 0.1


def test_a_long_log_leaves_no_remnant():
    """Four runs, of which three fit together, are shuffled as two and two, not three and one."""
    sizes = [len(batch) for batch in Shuffled(4096 * 3 + 1, 1 << 20, 3 * 4096, 0)]
    assert sorted(sizes) == [4097, 8192]


# --- what training hides ---


def batch_of(further=()):
    log = pa.table({**columns(), **{name: columns()["label"] for name in further}})
    made = RankingData.of(log.rename_columns([*columns(), *further]), columns=further)
    ranker = PPNet(**{**SMALL, "epochs": 1})
    ranker.fit(made, table())
    return shown_batch(made.train, ranker.numbering(made.vocabulary), ranker.settings, CPU)


def test_training_hides_a_share_of_users_items_and_values():
    shown = batch_of(("device",))
    torch.manual_seed(0)
    for share in (0.0, 0.3, 1.0):
        found = hidden(shown, share)
        for name, rows in (("users", 1600), ("columns", 1600), ("item_rows", OLD)):
            before, after = getattr(shown, name), getattr(found, name)
            gone = after == 0
            assert before.shape == after.shape
            assert before.dtype == after.dtype
            assert torch.equal(after[~gone], before[~gone])
            spread = 4 * math.sqrt(share * (1 - share) / rows)
            assert float(gone[before > 0].float().mean()) == pytest.approx(share, abs=spread)
        for name in ("items", "history", "lengths", "code_rows"):
            assert getattr(found, name) is getattr(shown, name)
        # what is hidden has no rate either
        known = torch.stack([found.users, found.item_rows[found.items], found.columns[:, 0]], 1) > 0
        assert torch.equal(found.rates, shown.rates * known)


# --- the training ---


def test_the_same_seed_gives_the_same_bits():
    one, other, third = (PPNet(**SMALL, seed=seed) for seed in (0, 0, 1))
    state = torch.get_rng_state()
    fits = [made.fit(data(), table()) for made in (one, other, third)]
    assert torch.equal(torch.get_rng_state(), state)  # the caller's own stays as it is
    assert same(one, other)
    assert one.log == other.log
    assert fits[0].validation == fits[1].validation
    assert not same(one, third)


def test_fitting_again_starts_anew():
    made = PPNet(**SMALL)
    made.fit(data())
    made.fit(data(), table())
    assert same(made, fitted())
    assert len(made.log) == SMALL["epochs"]


def test_on_disk_or_in_memory_it_learns_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("mmq.data._log.PIECE", 300)
    spooled = RankingData.of(Interactions.build(columns()), spool=tmp_path)
    assert isinstance(spooled.train.users, np.memmap)
    made = PPNet(**SMALL)
    made.fit(spooled, table())
    assert same(made, fitted())
    found = made.predict(spooled.test, spooled)
    assert np.array_equal(found, fitted().predict(data().test, data()))


@pytest.mark.parametrize("writes", [1, 2])
def test_a_killed_training_goes_on_to_the_same_bits(writes, tmp_path, monkeypatch):
    monkeypatch.setattr("mmq.training._loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    path = tmp_path / "checkpoint"
    killed = PPNet(**SMALL, dropout=0.2)
    with monkeypatch.context() as patch:
        kill_after(writes, patch)
        with pytest.raises(KeyboardInterrupt):
            killed.fit(data(), table(), Checkpoint(path))
    with pytest.raises(DataError, match="not fitted yet"):  # half-trained weights are no ranker
        killed.predict(data().test, data())
    resumed, whole = PPNet(**SMALL, dropout=0.2), PPNet(**SMALL, dropout=0.2)
    fit = resumed.fit(data(), table(), Checkpoint(path, resume=True))
    expected = whole.fit(data(), table())
    assert same(resumed, whole)
    assert resumed.log == whole.log
    assert (fit.epochs, fit.best_epoch, fit.validation) == (
        expected.epochs,
        expected.best_epoch,
        expected.validation,
    )


def test_the_checkpoint_of_something_else_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    few = {**SMALL, "epochs": 1}
    own = Checkpoint(path, {"log": "a log"})
    PPNet(**few).fit(data(), table(), own)
    others = RankingData.of(Interactions.build(columns()), RankingSplit(split="random"))
    for made, log, ids, mark in (
        (PPNet(**few), data(), table(), "another log"),
        (PPNet(**few), others, table(), "a log"),
        (PPNet(**few), data(), None, "a log"),
        (PPNet(**few), data(), table(61), "a log"),
        (PPNet(**{**few, "dropout": 0.1}), data(), table(), "a log"),
    ):
        with pytest.raises(FormatError, match="other data or other settings"):
            made.fit(log, ids, Checkpoint(path, {"log": mark}, resume=True))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match="truncated or damaged"):
        PPNet(**few).fit(data(), table(), replace(own, resume=True))


def test_the_epoch_with_the_best_auc_of_the_validation_is_kept():
    made = PPNet(**{**SMALL, "epochs": 12, "learning_rate": 0.3}, patience=12)  # far too high
    fit = made.fit(data(), table())
    scores = [epoch["auc"] for epoch in made.log]
    assert fit.best_epoch == 1 + int(np.argmax(scores)) < fit.epochs == 12
    found = made.predict(data().validation, data())
    labels = data().validation.labels
    assert auc(labels, found) == max(scores) == fit.validation["auc"] > scores[-1]
    assert log_loss(labels, found) == fit.validation["log_loss"]
    assert fit.seconds > 0
    assert fit.targets_per_second > 0


def test_it_stops_when_it_no_longer_gets_better():
    made = PPNet(**{**SMALL, "epochs": 40, "learning_rate": 0.05}, patience=2)
    fit = made.fit(data(), table())
    assert fit.epochs == fit.best_epoch + 2 < 40
    assert len(made.log) == fit.epochs


def test_the_test_part_has_no_say():
    log = columns()
    log["label"][1800:] = 1 - log["label"][1800:]
    made = PPNet(**SMALL)
    made.fit(RankingData.of(Interactions.build(log)), table())
    assert same(made, fitted())


def test_the_loss_is_the_cross_entropy_of_all_impressions():
    still = {"learning_rate": 1e-12, "unknown_share": 0.0, "dropout": 0.0, "epochs": 1,
             "batch_size": 77}  # fmt: skip
    made = PPNet(**{**SMALL, **still})
    made.fit(data(), table())
    shown = shown_batch(data().train, made.numbering(data().vocabulary), made.settings, CPU, True)
    expected = log_loss(data().train.labels, torch.sigmoid(made.network(shown)).numpy())
    assert made.log[0]["loss"] == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(math.log(2), abs=0.05)
    losses = [epoch["loss"] for epoch in fitted(**LEARNED).log]
    assert losses[-1] < 0.4 < losses[0]


def test_a_training_that_diverges_says_so():
    made = PPNet(**{**SMALL, "learning_rate": 1e30})
    with pytest.raises(DivergedError, match=r"the training diverged.*lower"):
        made.fit(data(), table())
    with pytest.raises(DataError, match="not fitted yet"):
        made.predict(data().test, data())


def test_every_setting_has_its_say():
    plain = fitted()
    for changes in (
        {"batch_size": 90},
        {"shuffle_rows": 200},
        {"learning_rate": 0.01},
        {"schedule": "one-cycle"},
        {"warmup": 0.9},
        {"weight_decay": 0.3},
        {"embedding_dim": 5},
        {"hidden": (8, 4)},
        {"gate_dim": 5},
        {"history": 2},
        {"item_id": False},
        {"codes": "sum"},
        {"codes": "gated"},
        {"code_features": "prefixes"},
        {"unknown_share": 0.5},
        {"dropout": 0.1},
    ):
        made = PPNet(**{**SMALL, **changes, "epochs": 1})
        made.fit(data(), table())
        assert made.log[0]["loss"] != plain.log[0]["loss"], changes


# --- what is refused before the training ---


def test_bad_trainings():
    log = columns()
    log["label"][1600:1800] = 1
    alike = RankingData.of(Interactions.build(log))
    with pytest.raises(DataError, match="all 200 rows of the validation part have the label 1"):
        PPNet(**SMALL).fit(alike, table())
    with pytest.raises(DataError, match=r"20 of the 60 items of the log have no semantic ID, 'it"):
        PPNet(**SMALL).fit(data(), table(OLD))
    with pytest.raises(SettingsError, match="leaves nothing that tells items apart"):
        PPNet(**SMALL, item_id=False).fit(data())


def test_a_failed_fit_leaves_nothing_of_the_one_before():
    made = PPNet(**SMALL)
    made.fit(data(), table())
    with pytest.raises(DataError, match="no semantic ID"):
        made.fit(data(), table(OLD))
    with pytest.raises(DataError, match="not fitted yet"):
        made.predict(data().test, data())
    with pytest.raises(DataError, match="not fitted yet"):
        made.tensors()

"""Stage 2 from start to end: what is logged, what is kept, and that it can be repeated."""

import copy
import functools
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from finetuning.tiny import SMALL, STUDENTS, TOKENIZERS, catalogue, tokenizer
from mmq import Catalogue, load
from mmq.data._interactions import Interactions
from mmq.finetuning import FinetuneSettings, finetune
from mmq.finetuning._joint import JointTask
from mmq.finetuning._moving import colliding
from mmq.made_from import Checkpoint
from mmq.metrics.calibration import log_loss
from mmq.metrics.ranking import auc
from mmq.recommenders import HeterRec, RetrievalData, SplitSettings, evaluate
from mmq.semantic_ids import SemanticIDs, append
from mmq.testing._interruption import kill_after
from mmq.tokenizers import MMQTokenizer, NetworkTokenizer, RQVAETokenizer
from mmq.training import _loop as loop

MOVING = {
    "mode": "joint",
    "epochs": 3,
    "learning_rate": 0.02,
    "tokenizer_rate": 0.5,
    "max_colliding": 1,
}
"""Settings under which codes move within three epochs."""
BOTH = pytest.mark.parametrize(("problem", "kind"), list(itertools.product(STUDENTS, TOKENIZERS)))


@functools.cache
def made(problem, kind):
    fitted = tokenizer(kind)
    return fitted, *STUDENTS[problem](fitted)


def start(problem="retrieval", kind="mmq"):
    """A tokenizer, a model of its IDs and what it was fitted to; the first two may be changed."""
    fitted, student, data = made(problem, kind)
    return copy.deepcopy(fitted), copy.deepcopy(student), data


def tuned(problem="retrieval", kind="mmq", **changes):
    """What a fine-tuning made of a start, and what it gave back."""
    fitted, student, data = start(problem, kind)
    fit = finetune(fitted, student, data, catalogue(), FinetuneSettings(**{**MOVING, **changes}))
    return fitted, student, fit


@functools.cache
def moved(problem="retrieval", kind="mmq"):
    """One that is only looked at."""
    return tuned(problem, kind)


def weights(estimator):
    return {name: each.clone() for name, each in estimator.network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def outcome(result):
    """All that a fine-tuning changes or tells, but for the time that it took."""
    fitted, student, fit = result
    told = {k: v for k, v in fit._asdict().items() if k not in ("seconds", "codes_before")}
    arrays = {k: told.pop(k).tolist() for k in ("codes_after",)}
    tensors = {f"{k} {n}": t.tolist() for k, each in (("t", fitted), ("s", student))
               for n, t in weights(each).items()}  # fmt: skip
    return {**told, **arrays, **tensors}


def held_out(student, data):
    if isinstance(student, HeterRec):
        return evaluate(student, data.validation).figures
    scores, labels = student.predict(data.validation, data), data.validation.labels
    return {"auc": auc(labels, scores), "log_loss": log_loss(labels, scores)}


def selected(student):
    return "ndcg@10" if isinstance(student, HeterRec) else "auc"


# --- what is told and what is kept ---


@BOTH
def test_the_best_epoch_is_kept_everywhere(problem, kind):
    before, plain, data = start(problem, kind)
    start_codes = before.encode(catalogue())
    fitted, student, fit = moved(problem, kind)
    name = selected(student)
    scores = [fit.before[name], *(each[name] for each in fit.log)]
    assert fit.best_epoch == int(np.argmax(scores))
    assert fit.after[name] == max(scores)
    assert np.array_equal(fitted.encode(catalogue()), fit.codes_after)
    assert np.array_equal(student.semantic_ids.codes, fit.codes_after)
    assert np.array_equal(fit.codes_before, start_codes)
    assert any(each["items_moved"] > 0 for each in fit.log)
    assert held_out(student, data).items() <= fit.after.items()
    assert held_out(plain, data).items() <= fit.before.items()
    if fit.best_epoch:
        kept = fit.log[fit.best_epoch - 1]
        assert {n: kept[n] for n in fit.after} == fit.after
    assert not student.network.training
    assert not fitted.network.training
    for network in (student.network, fitted.network):
        assert not any(each.requires_grad for each in network.parameters())
    assert not hasattr(student.network, "soft")


@BOTH
def test_every_epoch_tells_how_far_the_codes_have_moved(problem, kind):
    _, student, fit = moved(problem, kind)
    assert [each["epoch"] for each in fit.log] == [1, 2, 3]
    expected = {"items_moved", "codes_moved", "colliding", "l_recon", "fvu", "utilisation"}
    for each in (fit.before, fit.after, *fit.log):
        assert expected | {selected(student)} <= each.keys()
        assert all(math.isfinite(value) for value in each.values())
    assert fit.before.keys() == fit.after.keys()
    assert not any(name.startswith("mean_") for name in fit.after), "those are of an epoch"
    anchors = {"mean_task", "mean_reconstruction"} | (
        {"mean_auxiliary"} if kind == "mmq" else set()
    )
    for each in fit.log:
        assert {name for name in each if name.startswith("mean_")} == anchors
        assert each["mean_reconstruction"] > 0
    assert fit.before["items_moved"] == fit.before["codes_moved"] == 0
    others = fit.codes_before != fit.codes_after
    assert fit.after["items_moved"] == others.any(1).mean()
    assert fit.after["codes_moved"] == pytest.approx(others.mean())


def test_figures_of_the_ids_are_those_of_the_table():
    fitted, _, fit = moved()
    assert fit.best_epoch
    codes = fit.codes_after.tolist()
    assert fit.after["colliding"] == sum(codes.count(each) > 1 for each in codes) / len(codes)
    used = [len(set(column)) / 8 for column in zip(*codes, strict=True)]
    assert fit.after["utilisation"] == pytest.approx(sum(used) / len(used))
    measured = fitted.measure(catalogue())
    assert (fit.after["l_recon"], fit.after["fvu"]) == pytest.approx(
        (measured.l_recon, measured.fvu)
    )


RATES = {"retrieval": 0.005, "ranking": 0.03}
"""At which a few epochs on so small a log gain something, with every seed that was tried."""


@pytest.mark.parametrize("problem", STUDENTS)
def test_where_no_epoch_is_better_all_is_as_it_was(problem, monkeypatch):
    fitted, student, data = start(problem)
    fitted.network.mean_weights.mul_(0.9)  # of more items than those of the model, say
    before = weights(fitted), weights(student), fitted.encode(catalogue())
    scores = held_out(student, data)
    monkeypatch.setattr(JointTask, "refused", lambda self, figures: True)
    fit = finetune(fitted, student, data, catalogue(), FinetuneSettings(**MOVING))
    assert len(fit.log) == 1
    assert fit.log[0]["items_moved"] > 0
    assert fit.best_epoch == 0
    assert fit.before == fit.after
    assert same(before[0], weights(fitted))
    assert same(before[1], weights(student))
    assert np.array_equal(fitted.encode(catalogue()), before[2])
    assert np.array_equal(fit.codes_after, before[2])
    assert np.array_equal(student.semantic_ids.codes, before[2])
    assert held_out(student, data) == scores


@BOTH
def test_a_frozen_tokenizer_stays_to_the_bit(problem, kind):
    before = start(problem, kind)
    fitted, student, fit = tuned(problem, kind, tokenizer_rate=0, epochs=2)
    assert same(weights(before[0]), weights(fitted))
    assert np.array_equal(fit.codes_before, fit.codes_after)
    assert all(each["codes_moved"] == 0 for each in fit.log)
    assert len({each["fvu"] for each in fit.log}) == 1
    assert (fit.best_epoch == 0) == same(weights(before[1]), weights(student))


def test_mean_gates_are_those_of_the_new_weights():
    fitted, _, fit = moved()
    assert fit.best_epoch
    kept = weights(fitted)
    fitted.settle(*fitted._inputs(catalogue()))
    assert same(kept, weights(fitted))
    assert not torch.equal(kept["mean_weights"], weights(start()[0])["mean_weights"])


def test_what_the_tokenizer_tells_of_itself_is_of_its_new_weights(tmp_path):
    """Its folder and its card hold figures; those of stage 1 are no longer true."""
    fitted, _, fit = moved()
    assert fit.best_epoch
    measured = fitted.measure(catalogue())
    fitted.save(tmp_path / "tokenizer")
    figures = NetworkTokenizer.load(tmp_path / "tokenizer").figures
    assert figures["fvu"] == {"fit": pytest.approx(measured.fvu)}
    assert figures["fvu_codes"] == {"fit": pytest.approx(measured.fvu_codes)}
    assert figures["utilisation"] == fit.after["utilisation"]
    assert figures["distinct_share"] == len(np.unique(fit.codes_after, axis=0)) / 30


# --- settings ---


@pytest.mark.parametrize("problem", STUDENTS)
def test_same_seed_same_bits_another_seed_others(problem):
    torch.manual_seed(1)
    one = outcome(tuned(problem, epochs=2, noise=0.5, items_per_step=10))
    torch.manual_seed(2)
    drawn = torch.get_rng_state()
    assert outcome(tuned(problem, epochs=2, noise=0.5, items_per_step=10)) == one
    assert torch.equal(torch.get_rng_state(), drawn), "the caller's own randomness is his"
    assert outcome(tuned(problem, epochs=2, noise=0.5, items_per_step=10, seed=1)) != one


CHANGES = {
    "seed": 4,
    "learning_rate": 0.01,
    "schedule": "constant",
    "warmup": 0.5,
    "tokenizer_rate": 0.4,
    "temperature": 0.2,
    "temperature_end": 0.02,
    "noise": 0.5,
    "input_noise": 0.4,
    "reconstruction_weight": 0.2,
    "auxiliary_weight": 0.0,
    "commitment_weight": 0.5,
    "target_codes": "detached",
    "items_per_step": 5,
    "refreshes": 3,
    "refit_epochs": 1,
}


@functools.cache
def log_of(**changes):
    return tuned(**{"epochs": 1, "items_per_step": 8, **changes})[2].log


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_has_its_say(name):
    assert log_of(**{name: CHANGES[name]}) != log_of()


def test_epochs_and_patience_end_it():
    assert len(tuned(epochs=1)[2].log) == 1
    still = {"learning_rate": 1e-12, "tokenizer_rate": 0.0}  # nothing changes, nothing is better
    assert len(tuned(epochs=6, patience=2, **still)[2].log) == 2


ALTERNATING = {
    **{name: CHANGES[name] for name in CHANGES.keys() - {"target_codes", "items_per_step"}},
    "temperature_end": 0.2,
    "behaviour_weight": 1.0,
    "wanted_weight": 0.3,
    "nearest": 2,
    "least_gain": 0.0,
    "tokenizer_steps": 7,
    "moving": 0.0,
}
del ALTERNATING["refreshes"]


@pytest.mark.parametrize("name", sorted(ALTERNATING))
def test_every_setting_has_its_say_alternating(name):
    changes = {"mode": "alternating", "moving": 1.0, "epochs": 2, "tokenizer_steps": 20}
    assert log_of(**{**changes, name: ALTERNATING[name]}) != log_of(**changes)


def test_all_other_settings_are_covered():
    assert set(FinetuneSettings.model_fields) == {
        *CHANGES, *ALTERNATING, "mode", "epochs", "patience", "max_colliding",
    }  # fmt: skip


def test_a_temperature_that_ends_where_it_starts_is_a_constant_one():
    assert log_of(temperature_end=0.07) == log_of()


def test_too_many_shared_ids_end_it_and_are_not_kept():
    free = {"reconstruction_weight": 0, "auxiliary_weight": 0, "learning_rate": 0.2, "epochs": 4}
    unbound = tuned(tokenizer_rate=1.0, **free)[2]
    rises = [each["colliding"] - unbound.before["colliding"] for each in unbound.log]
    crossed = next(place for place, rise in enumerate(rises) if rise > 0)
    _, student, fit = tuned(tokenizer_rate=1.0, **free, max_colliding=rises[crossed] - 1e-9)
    assert fit.log == unbound.log[: crossed + 1]
    assert fit.best_epoch <= crossed
    assert colliding(student.semantic_ids.codes) <= fit.before["colliding"] + rises[crossed] - 1e-9
    _, _, allowed = tuned(tokenizer_rate=1.0, **free, max_colliding=min(1, max(rises)))
    assert allowed.log == unbound.log


@pytest.mark.parametrize("refreshes", [1, 2, 3, 100])
def test_the_table_is_renewed_so_often_an_epoch(refreshes, monkeypatch):
    fitted, student, data = start()
    steps = len(student.task(data).batches(np.random.default_rng(0)))
    task = JointTask(
        student, fitted, data, fitted.inputs(catalogue()), FinetuneSettings(refreshes=refreshes)
    )
    renewed = []
    plain = JointTask.refresh

    def refresh(self):
        renewed.append(self.step)
        plain(self)

    monkeypatch.setattr(JointTask, "refresh", refresh)
    for batch in task.batches(np.random.default_rng(0)):
        task.part(batch, 0.0)
    assert len(renewed) == min(refreshes, steps)
    assert renewed == sorted(set(renewed))
    gaps = np.diff([*renewed, steps])
    assert gaps.max() - gaps.min() <= 1


def test_codes_of_other_items_are_those_of_the_last_renewal():
    """After a refresh inside an epoch the table holds what the tokenizer gives at that step."""
    fitted, student, data = start()
    settings = FinetuneSettings(**MOVING, refreshes=2)
    task = JointTask(student, fitted, data, fitted.inputs(catalogue()), settings)
    stale = 0
    optimizer = torch.optim.SGD(fitted.network.parameters(), lr=1.0)
    batches = task.batches(np.random.default_rng(0))
    for number, batch in enumerate(batches):
        now = fitted.encode(catalogue())
        loss = task.part(batch, 0.0).loss
        if number in (0, len(batches) // 2 + len(batches) % 2):
            assert np.array_equal(student.semantic_ids.codes, now)
        stale += int((student.semantic_ids.codes != fitted.encode(catalogue())).any())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert stale or len(batches) < 3


@pytest.mark.parametrize("problem", STUDENTS)
def test_a_refit_is_never_worse(problem):
    plain = tuned(problem, epochs=2)
    fitted, student, fit = tuned(problem, epochs=2, refit_epochs=3)
    name = selected(student)
    joint = [each for each in fit.log if "refit" not in each]
    refit = [each for each in fit.log if "refit" in each]
    assert joint == plain[2].log
    assert [each["epoch"] for each in refit] == [1, 2, 3]
    assert fit.best_epoch == plain[2].best_epoch
    assert fit.after[name] == max(plain[2].after[name], *(each[name] for each in refit))
    assert same(weights(plain[0]), weights(fitted))
    assert np.array_equal(fit.codes_after, plain[2].codes_after)
    assert np.array_equal(fitted.encode(catalogue()), student.semantic_ids.codes)
    assert held_out(student, start(problem)[2]).items() <= fit.after.items()
    better = fit.after[name] > plain[2].after[name]
    assert better != same(weights(plain[1]), weights(student))


# --- kill and resume ---


@functools.cache
def uninterrupted(problem, kind, settings):
    fitted, student, data = start(problem, kind)
    return outcome((fitted, student, finetune(fitted, student, data, catalogue(), settings)))


@pytest.mark.parametrize(("problem", "kind"), [("retrieval", "mmq"), ("ranking", "separated")])
@pytest.mark.parametrize("writes", [1, 4])
def test_resumed_after_a_kill_it_is_the_same_to_the_bit(
    problem, kind, writes, tmp_path, monkeypatch
):
    """Killed after the first epoch, or, with the fourth write, in the refit."""
    settings = FinetuneSettings(**MOVING, noise=0.3, items_per_step=12, refit_epochs=3)
    whole = uninterrupted(problem, kind, settings)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    fitted, student, data = start(problem, kind)
    with monkeypatch.context() as patch:
        kill_after(writes, patch)
        with pytest.raises(KeyboardInterrupt):
            finetune(fitted, student, data, catalogue(), settings, checkpoint)
    assert (tmp_path / "checkpoint.refit").exists() == (writes > 3)
    fitted, student, data = start(problem, kind)
    fit = finetune(fitted, student, data, catalogue(), settings, replace(checkpoint, resume=True))
    assert outcome((fitted, student, fit)) == whole


def test_what_is_broken_off_leaves_both_as_they_were(tmp_path, monkeypatch):
    """A tokenizer and a model that are half trained do not speak of the same IDs."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    fitted, student, data = start()
    before = weights(fitted), weights(student), student.semantic_ids
    kill_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        finetune(
            fitted,
            student,
            data,
            catalogue(),
            FinetuneSettings(**MOVING),
            Checkpoint(tmp_path / "c"),
        )
    assert same(before[0], weights(fitted))
    assert same(before[1], weights(student))
    assert student.semantic_ids.fingerprint() == before[2].fingerprint()
    assert student.semantic_ids.manifest == before[2].manifest
    assert not student.network.training
    assert not any(each.requires_grad for each in student.network.parameters())


def test_a_stale_refit_does_not_stand_in_the_way(tmp_path, monkeypatch):
    """Left by a run of other settings, which was followed by one that was not resumed."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def run(resume=False, **changes):
        settings = FinetuneSettings(**{**MOVING, "epochs": 2, "refit_epochs": 2, **changes})
        fitted, student, data = start()
        fit = finetune(
            fitted, student, data, catalogue(), settings, Checkpoint(tmp_path / "c", resume=resume)
        )
        return outcome((fitted, student, fit))

    for writes, changes in ((3, {"seed": 1}), (1, {})):
        with monkeypatch.context() as patch:
            kill_after(writes, patch)
            with pytest.raises(KeyboardInterrupt):
                run(**changes)
    assert run(resume=True) == outcome(tuned(epochs=2, refit_epochs=2))


# --- what comes after ---


@pytest.mark.parametrize("problem", ["retrieval", "ranking"])
def test_both_can_be_stored_and_new_items_appended(problem, tmp_path):
    fitted, student, fit = tuned(problem, epochs=1)
    data = start(problem)[2]
    fitted.save(tmp_path / "tokenizer")
    student.save(tmp_path / "model")
    again, other = load(tmp_path / "tokenizer"), load(tmp_path / "model")
    assert np.array_equal(again.encode(catalogue()), fit.codes_after)
    assert np.array_equal(other.semantic_ids.codes, fit.codes_after)
    assert held_out(other, data) == held_out(student, data)
    new = Catalogue.build(
        ["new-1", "new-2"],
        {name: np.eye(2, width) for name, width in catalogue().dimensions.items()},
    )
    ids = append(other.semantic_ids, new.item_ids, again.encode(new)).ids
    other.with_ids(ids)
    assert held_out(other, data).keys() == held_out(student, data).keys()
    if problem == "retrieval":
        found = other.recommend([["item-1", "item-2"]], k=32).item_ids[0]
        assert {"new-1", "new-2"} <= set(found)
    else:
        assert np.isfinite(other.score(1, ["item-1"], ["new-1", "new-2"])).all()


def test_catalogue_table_and_log_may_list_items_in_different_orders():
    """Rows of the catalogue, of the table and of the log are three things."""
    fitted, _, _ = start()
    order = np.random.default_rng(0).permutation(30)
    shuffled = catalogue().take(order)
    items = catalogue().take(np.arange(30)[::-1])
    ids = SemanticIDs.build(items.item_ids, fitted.encode(items), fitted.codebook_sizes)
    student, data = STUDENTS["ranking"](fitted)
    student.fit(data, ids)
    fit = finetune(fitted, student, data, shuffled, FinetuneSettings(**MOVING))
    assert np.array_equal(fitted.encode(items), fit.codes_after)
    assert np.array_equal(student.semantic_ids.codes, fit.codes_after)
    assert student.semantic_ids.item_ids.equals(items.item_ids)


# --- from scratch ---


@pytest.mark.parametrize("mode", ["joint", "alternating"])
@pytest.mark.parametrize("problem", STUDENTS)
def test_a_model_that_has_learned_nothing_learns_with_the_tokenizer(problem, mode):
    fitted = tokenizer()
    student, data = STUDENTS[problem](fitted, epochs=0)
    settings = {**MOVING, "mode": mode, "epochs": 6, "patience": 6, "learning_rate": RATES[problem],
                "least_gain": 0.0, "tokenizer_steps": 50}  # fmt: skip
    fit = finetune(fitted, student, data, catalogue(), FinetuneSettings(**settings))
    assert fit.best_epoch > 0
    assert fit.after[selected(student)] > fit.before[selected(student)]
    assert (fit.codes_before != fit.codes_after).any()


@pytest.mark.parametrize("problem", STUDENTS)
def test_beside_a_frozen_tokenizer_that_is_an_ordinary_training(problem):
    fitted = tokenizer()
    rate = max(RATES[problem], 0.01)
    plain, data = STUDENTS[problem](fitted, patience=9, learning_rate=rate)
    student, _ = STUDENTS[problem](fitted, epochs=0, learning_rate=rate)
    assert not same(weights(plain), weights(student))
    of = plain.settings
    settings = FinetuneSettings(
        seed=of.seed, epochs=of.epochs, patience=of.patience, schedule=of.schedule,
        warmup=of.warmup, tokenizer_rate=0,
    )  # fmt: skip
    fit = finetune(fitted, student, data, catalogue(), settings)
    assert fit.best_epoch
    assert same(weights(plain), weights(student))


# --- that it learns ---


def test_refined_codes_move_too():
    fitted = RQVAETokenizer(
        codebook_size=8, hidden_sizes=(), latent_dim=6, length=3, epochs=4, refinement=2,
        device="cpu",
    )  # fmt: skip
    fitted.fit(catalogue())
    student, data = STUDENTS["retrieval"](fitted)
    fit = finetune(fitted, student, data, catalogue(), FinetuneSettings(**MOVING))
    assert any(each["items_moved"] > 0 for each in fit.log)
    assert np.array_equal(fitted.encode(catalogue()), fit.codes_after)


def shared(codes, pairs):
    return float((codes[pairs[:, 0]] == codes[pairs[:, 1]]).mean())


def test_codes_move_towards_behaviour():
    """Content has two clusters; users stay within one of four groups that lie across both."""
    rng = np.random.default_rng(0)
    items, users, groups = 40, 200, np.arange(40) % 4
    content = 0.3 * np.eye(2, 48)[np.arange(items) // 20] + rng.normal(size=(items, 48)) / 7
    shop = Catalogue.build(range(items), {"text": content})
    user = np.repeat(np.arange(users), 8)
    drawn = [rng.permutation(np.flatnonzero(groups == u % 4))[:8] for u in range(users)]
    log = Interactions.build(
        {"user_id": user, "item_id": np.concatenate(drawn), "timestamp": np.arange(len(user))}
    )
    fitted = MMQTokenizer(
        learning="gradient", codebook_size=6, latent_dim=8, epochs=20, batch_size=40, device="cpu"
    )
    fitted.fit(shop)
    ids = SemanticIDs.build(shop.item_ids, fitted.encode(shop), fitted.codebook_sizes)
    data = RetrievalData.of(log, ids, SplitSettings(min_interactions=0))
    student = HeterRec(**{**SMALL, "epochs": 4, "batch_size": 64}, device="cpu")
    student.fit(data)
    settings = FinetuneSettings(
        epochs=8, learning_rate=0.02, tokenizer_rate=1.0, temperature=0.2, max_colliding=1,
        reconstruction_weight=0.05, auxiliary_weight=0.05,
    )  # fmt: skip
    fit = finetune(fitted, student, data, shop, settings)
    pairs = np.stack(np.triu_indices(items, 1), 1)
    together = groups[pairs[:, 0]] == groups[pairs[:, 1]]
    before, after = (
        shared(codes, pairs[together]) - shared(codes, pairs[~together])
        for codes in (fit.codes_before, fit.codes_after)
    )
    assert abs(before) < 0.08, "content does not tell the groups"
    assert after > before + 0.1
    assert fit.after["ndcg@10"] > fit.before["ndcg@10"] + 0.05
    assert fit.after["utilisation"] > 0.7, "codes did not collapse"

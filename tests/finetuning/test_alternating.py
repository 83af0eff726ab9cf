"""Stage 2, alternating: what reassignments cost, and a tokenizer that learns the good ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from children import found_by_two
from finetuning.tiny import STUDENTS, TOKENIZERS, catalogue, ranking, retrieval, tokenizer
from mmq.errors import SettingsError
from mmq.finetuning import FinetuneSettings, _alternating, finetune
from mmq.finetuning._adapters import _heterrec_costs, adapter_of
from mmq.finetuning._adapters._heterrec_costs import history_costs, predicted_costs
from mmq.finetuning._alternating import AlternatingTask
from mmq.made_from import Checkpoint
from mmq.ranking._batches import shown_batch
from mmq.recommenders._batches import training_batch
from mmq.testing._interruption import kill_after
from mmq.tokenizers._network import SoftInputs
from mmq.training import _loop as loop
from mmq.training._loop import epoch_generator

ALTERNATING = {
    "epochs": 3, "learning_rate": 0.02, "tokenizer_rate": 0.5, "moving": 1.0, "max_colliding": 1,
    "tokenizer_steps": 20, "least_gain": 0.0,
}  # fmt: skip


def tuned(problem="retrieval", kind="mmq", **changes):
    made = tokenizer(kind)
    student, data = STUDENTS[problem](made)
    fit = finetune(made, student, data, catalogue(), FinetuneSettings(**{**ALTERNATING, **changes}))
    return made, student, data, fit


def total_loss(student, data, codes):
    """Summed over the targets of the training part, histories as they are."""
    network, task = student.network.eval(), student.task(data)
    steps = student.settings.steps
    table = network.heads.classifiers().detach().double()
    n, each = codes.shape[1], len(table) // codes.shape[1]
    items = table[codes + each * torch.arange(n)].sum(1)
    total = 0.0
    with torch.no_grad():
        for batch in task.batches(epoch_generator(student.settings.seed, -1)):
            made = training_batch(batch, steps, torch.device("cpu"))
            users = network.users(made.histories)
            for step, wanted in enumerate(made.targets.T):
                there = wanted >= 0
                ahead = users[there]
                if step:
                    ahead = ahead + network.steps[step - 1](ahead)
                ahead = torch.cat([ahead.double(), torch.ones(len(ahead), 1)], 1)
                logits = ahead @ items[network.competitors].T
                targets = network.places[wanted[there]]
                total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
    return total / steps


def told(student, data, every=1):
    """Costs of items as those to be predicted, and the batches that tell."""
    windows = student.task(data).batches(epoch_generator(student.settings.seed, -1))
    steps = student.settings.steps
    batches = [training_batch(each, steps, torch.device("cpu")) for each in windows]
    places = torch.arange(len(student.network.competitors))
    costs = predicted_costs(student.network, batches, every, places)
    now = student.network.codes[student.network.competitors].long()
    return costs - costs.gather(2, now[:, :, None]), batches


def everything(data):
    """All items."""
    return torch.arange(len(data.item_ids))


def rows_of(task):
    """All rows of the table."""
    return torch.arange(len(task.x))


def costs_of(task):
    """Those of all items."""
    return task._costs(rows_of(task))


@pytest.mark.parametrize("problem", STUDENTS)
def test_costs_of_some_items_are_those_of_all(problem):
    student, data = STUDENTS[problem](tokenizer(), dropout=0.0)
    adapter, some = adapter_of(student), torch.tensor([9, 2, 17])
    whole = adapter.reassignment_costs(data, everything(data))
    torch.testing.assert_close(adapter.reassignment_costs(data, some), whole[some])


def test_costs_against_a_sample_estimate_those_against_all(monkeypatch):
    """The mean over draws is near; p is of a ratio, so it is not without bias altogether."""
    learning = {"epochs": 8, "learning_rate": 0.02, "dropout": 0.0}
    student, data = retrieval(tokenizer(), **learning)
    some = torch.from_numpy(student.network.competitors.numpy()[:6].copy())
    whole = adapter_of(student).reassignment_costs(data, some).flatten()
    monkeypatch.setattr(_heterrec_costs, "_DRAWN", 8)
    student.network.negatives = 8
    means, errors = [], []
    for seed in range(12):
        monkeypatch.setattr(_heterrec_costs, "_SEED", seed)
        found = adapter_of(student).reassignment_costs(data, some).flatten()
        errors.append(float((found - whole).norm() / whole.norm()))
        means.append(found)
    assert max(errors) > 1e-3  # it is a sample
    assert np.corrcoef(torch.stack(means).mean(0), whole)[0, 1] > 0.98
    slope = float(torch.stack(means).mean(0) @ whole / (whole @ whole))
    assert slope == pytest.approx(1, abs=0.1)


def test_of_many_items_a_draw_is_measured(monkeypatch):
    monkeypatch.setattr(_alternating, "_MEASURED", 7)
    task = alternating()
    draws = [task._drawn(np.random.default_rng(seed)) for seed in (0, 1)]
    assert all(len(each.unique()) == 7 for each in draws)
    assert not torch.equal(*draws)
    torch.testing.assert_close(task._costs(draws[0]), costs_of(task)[draws[0]])
    before = task.codes
    task.end_epoch(np.random.default_rng(0), 0, 1 / 3)
    task.refresh()
    assert not torch.equal(task.codes, before)


def test_costs_of_a_recommender_are_zero_where_nothing_changes():
    student, data = retrieval(tokenizer(), dropout=0.0)
    codes, competitors = student.network.codes, student.network.competitors
    whole = adapter_of(student).reassignment_costs(data, everything(data))
    assert whole.shape == (len(data.item_ids), codes.shape[1], 8)
    assert not whole.gather(2, codes.long()[:, :, None]).any()
    nobody = np.setdiff1d(np.arange(len(codes)), competitors.numpy())
    assert len(nobody)
    assert not whole[nobody].any()


def test_costs_of_a_recommender_are_those_of_a_plain_loop():
    student, data = retrieval(tokenizer(), dropout=0.0)
    network = student.network.eval()
    network.heads.codes.data *= 20  # codewords that matter
    codes = network.codes[network.competitors]
    costs, batches = told(student, data)
    table = network.heads.classifiers().detach().double().view(codes.shape[1], 8, -1)
    users = torch.cat([network.users(each.histories) for each in batches]).detach().double()
    users = torch.cat([users, torch.ones(len(users), 1)], 1)
    targets = torch.cat([network.places[each.targets[:, 0]] for each in batches])
    items = sum(table[i][codes[:, i]] for i in range(codes.shape[1]))
    p = (users @ items.T).softmax(1)
    for row, position, code in [(0, 0, 3), (4, 2, 7), (9, 4, 1), (20, 3, 0)]:
        lift = users @ (table[position][code] - table[position][codes[row, position]])
        expected = (p[:, row] * lift.expm1()).sum() - lift[targets == row].sum()
        found = float(costs[row, position, code])
        assert found == pytest.approx(float(expected), rel=1e-3, abs=1e-3)


def test_a_part_of_the_users_tells_about_the_same():
    student, data = retrieval(tokenizer(), dropout=0.0, epochs=8, learning_rate=0.02)
    student.network.eval()
    whole, part = (told(student, data, every)[0].flatten() for every in (1, 3))
    assert np.corrcoef(whole, part)[0, 1] > 0.95


@pytest.mark.parametrize(("scale", "steps"), [(1.0, 1), (20.0, 1), (20.0, 3)])
def test_what_is_told_to_pay_pays(scale, steps):
    """Costs are no less than the truth, of one reassignment and of many at once."""
    learning = {"epochs": 8, "learning_rate": 0.02}
    student, data = retrieval(tokenizer(), dropout=0.0, steps=steps, **learning)
    network = student.network.eval()
    network.heads.codes.data *= scale  # with long codewords too
    costs, _ = told(student, data)
    codes, competitors = network.codes.long(), network.competitors
    before = total_loss(student, data, codes)
    generator = np.random.default_rng(0)
    for reassigned in [1] * 10 + [3, 10, len(competitors)]:
        rows = torch.from_numpy(generator.permutation(len(competitors))[:reassigned])
        position, code = (
            torch.from_numpy(generator.integers(top, size=reassigned)) for top in (5, 8)
        )
        other = codes.clone()
        other[competitors[rows], position] = code
        true = total_loss(student, data, other) - before
        assert true <= float(costs[rows, position, code].sum()) + 1e-2 * (1 + abs(true))
    lowest, which = costs.flatten(1).min(1)
    other = codes.clone()
    other[competitors, which // 8] = which % 8
    assert lowest.sum() < 0
    assert total_loss(student, data, other) - before <= float(lowest.sum()) + 1e-2


def test_a_recommender_that_looks_several_steps_ahead_is_fine_tuned():
    made = tokenizer()
    student, data = retrieval(made, steps=2)
    fit = finetune(made, student, data, catalogue(), FinetuneSettings(**ALTERNATING))
    assert fit.log[-1]["codes_moved"] > 0


def test_costs_of_histories_are_slopes_and_their_squares():
    student, data = retrieval(tokenizer(), dropout=0.0, epochs=4, learning_rate=0.02)
    network = student.network.eval()
    window = student.task(data).batches(epoch_generator(0, -1))[0]
    batch = training_batch(window, 1, torch.device("cpu"))
    rows, costs = history_costs(network, batch)
    assert torch.equal(rows, batch.histories.rows)
    tokens = network.embedded(rows).detach()
    each = network.token_embeddings.detach().view(tokens.shape[1], -1, tokens.shape[2])

    def loss(moved):
        users = network.users(batch.histories, network.pooled(moved))
        return network.loss(users, batch.targets) * len(users)

    torch.testing.assert_close(loss(tokens), network(batch) * len(rows))
    for entry, position, code in [(0, 0, 3), (3, 2, 5), (7, 4, 0)]:
        step = torch.zeros_like(tokens)
        now = int(network.codes[rows[entry], position])
        step[entry, position] = each[position, code] - each[position, now]
        small = 1e-2
        slope = float((loss(tokens + small * step) - loss(tokens - small * step)).detach())
        slope /= 2 * small
        expected = slope + slope**2 / 2
        assert float(costs[entry, position, code]) == pytest.approx(expected, rel=0.05, abs=2e-3)


def test_costs_tell_what_reassignments_do():
    """They are near the truth for single reassignments of predicted items."""
    student, data = retrieval(tokenizer(), dropout=0.0, epochs=8, learning_rate=0.02)
    network = student.network.eval()
    costs, _ = told(student, data)
    codes = network.codes.long()
    before = total_loss(student, data, codes)
    generator = np.random.default_rng(0)
    expected, true = [], []
    for _ in range(40):
        row, position, code = generator.integers([len(network.competitors), codes.shape[1], 8])
        other = codes.clone()
        other[network.competitors[row], position] = code
        expected.append(float(costs[row, position, code]))
        true.append(total_loss(student, data, other) - before)
    assert np.corrcoef(expected, true)[0, 1] > 0.95


def binary_cross_entropy(logits, label):
    wanted = torch.full_like(logits, float(label))
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def test_costs_of_a_ranker_are_those_of_a_plain_loop():
    student, data = ranking(tokenizer(), dropout=0.0, epochs=2)
    network, numbering = student.network.eval(), student.numbering(data.vocabulary)
    costs = adapter_of(student).reassignment_costs(data, everything(data))
    n, dim = network.length, network.codes.shape[1]
    table = network.codes.detach().view(n, -1, dim)
    expected = torch.zeros_like(costs)
    piece = data.train.take(slice(0, len(data.train)))
    shown = shown_batch(piece, numbering, student.settings, student.device, True)
    codes = network.codes[shown.code_rows[shown.items]].detach().requires_grad_()
    logits = network(shown, codes)
    torch.testing.assert_close(logits, network(shown))
    slopes = torch.autograd.grad(logits.sum(), codes)[0]
    for row, (item, label) in enumerate(zip(piece.items, piece.labels, strict=True)):
        z = logits[row].detach()
        for i in range(n):
            e = table[i] - codes[row, i].detach()
            change = e @ slopes[row, i]
            expected[item, i] += binary_cross_entropy(z + change, label)
            expected[item, i] -= binary_cross_entropy(z, label)
    torch.testing.assert_close(costs, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("problem", STUDENTS)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_codes_move_and_belong_together(problem, kind):
    made, student, _, fit = tuned(problem, kind)
    assert max(each["codes_moved"] for each in fit.log) > 0
    assert np.array_equal(made.encode(catalogue()), student.semantic_ids.codes)
    assert np.array_equal(fit.codes_after, student.semantic_ids.codes)


def alternating(kind="mmq", **changes):
    """The task of a fine-tuning before its tokenizer has learned."""
    made = tokenizer(kind)
    student, data = retrieval(made, epochs=8, learning_rate=0.02)
    settings = FinetuneSettings(**{**ALTERNATING, **changes})
    task = AlternatingTask(student, made, data, made.inputs(catalogue()), settings)
    task.refresh()
    return task


def test_a_reassignment_has_to_gain_more_than_it_takes_to_name_it():
    task = alternating(nearest=4, least_gain=None)
    told, costs = task.adapter.reassignment_costs(task.data, everything(task.data)), costs_of(task)
    share = len(told) / task.items
    for item, place in enumerate(task.places.tolist()):
        for position, now in enumerate(task.codes[place].tolist()):
            for code in range(told.shape[2]):
                nats = float(told[item, position, code]) + np.log(5 * 3)
                expected = 0.0 if code == now else min(nats * share, 2.0)
                assert float(costs[place, position, code]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("nearest", [2, 4, 100])
def test_items_should_make_the_one_reassignment_that_pays_most(kind, nearest):
    task = alternating(kind, nearest=nearest)
    costs, codes = costs_of(task), task.codes
    inputs = SoftInputs(task.x, task.present, task.x, 0.1, codes=codes)
    logits = task.tokenizer.soften(inputs).logits
    best = logits.argmax(2)
    if kind == "additive":  # its sweeps end before every code is the best given all the others
        assert (best == codes).float().mean() > 0.9
    else:
        assert torch.equal(best, codes)
    expected = codes.clone()
    for item in range(len(codes)):
        lowest = 0.0
        for position in range(codes.shape[1]):
            for code in logits[item, position].argsort(descending=True)[:nearest].tolist():
                if costs[item, position, code] < lowest:
                    lowest = costs[item, position, code]
                    expected[item] = codes[item]
                    expected[item, position] = code
    wanted = task._wanted(rows_of(task), costs)
    assert torch.equal(wanted, expected)
    assert (wanted != codes).any()


def test_codes_found_together_make_most_of_the_reassignments_wanted():
    """And others beside them, since an item's codes are found anew in the light of the one that
    moved; on so few items those may cost more than the wanted ones pay.
    """
    task = alternating("additive", tokenizer_steps=200, input_noise=0.0)
    wanted, before = task._wanted(rows_of(task), costs_of(task)), task.codes
    task.end_epoch(np.random.default_rng(0), 0, 1 / 3)
    task.refresh()
    reassigned = wanted != before
    assert (task.codes == wanted)[reassigned].float().mean() > 0.7


@pytest.mark.parametrize("kind", sorted(TOKENIZERS.keys() - {"additive"}))
def test_what_the_tokenizer_learns_between_epochs_pays(kind):
    task = alternating(kind, tokenizer_steps=200, input_noise=0.0)
    costs, before = costs_of(task), task.codes
    task.end_epoch(np.random.default_rng(0), 0, 1 / 3)
    task.refresh()
    assert not torch.equal(task.codes, before)
    assert float(costs.gather(2, task.codes[:, :, None]).sum()) < 0


def test_what_is_wanted_keeps_the_codes_of_others():
    moved = []
    for weight in (0.0, 30.0):
        task = alternating(behaviour_weight=3.0, wanted_weight=weight, tokenizer_steps=100)
        wanted = task._wanted(rows_of(task), costs_of(task))
        task.end_epoch(np.random.default_rng(0), 0, 1 / 3)
        task.refresh()
        moved.append(int((task.codes != wanted).sum()))
    assert moved[1] < moved[0]


def test_codes_stay_once_moving_is_over():
    fit = tuned(epochs=4, moving=0.5)[3]
    moved = [each["codes_moved"] for each in fit.log]
    assert moved[1] == moved[2] == moved[3] > 0


def test_frozen_moves_nothing():
    made, student, _, fit = tuned(tokenizer_rate=0.0)
    assert not any(each["codes_moved"] for each in fit.log)
    assert np.array_equal(made.encode(catalogue()), student.semantic_ids.codes)


def test_resumed_after_a_kill_is_the_same_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = tuned()
    made = tokenizer()
    student, data = retrieval(made)
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    settings = FinetuneSettings(**ALTERNATING)
    with monkeypatch.context() as patch:
        kill_after(2, patch)
        with pytest.raises(KeyboardInterrupt):
            finetune(made, student, data, catalogue(), settings, checkpoint)
    fit = finetune(made, student, data, catalogue(), settings, replace(checkpoint, resume=True))
    assert fit.log == whole[3].log
    assert np.array_equal(fit.codes_after, whole[3].codes_after)
    for name, value in whole[1].tensors().items():
        assert np.array_equal(student.tensors()[name], value), name


def test_a_loss_over_codes_cannot_tell():
    made = tokenizer()
    student, data = retrieval(made, objective="codes")
    with pytest.raises(SettingsError, match="mode=joint"):
        finetune(made, student, data, catalogue(), FinetuneSettings(**ALTERNATING))


def found():
    """What each of the processes learned."""
    fit = tuned()[3]
    return {"log": fit.log, "codes": fit.codes_after.tolist()}


def test_two_processes_learn_the_same_codes(tmp_path):
    one, other = found_by_two(found, tmp_path)
    assert one == other

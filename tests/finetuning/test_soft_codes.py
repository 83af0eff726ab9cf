"""The gradient of stage 2: exact look-ups forward, the soft index of Eq. 15-18 backward."""

import numpy as np
import pytest
import torch

from finetuning.tiny import STUDENTS, TOKENIZERS, catalogue, retrieval, tokenizer
from mmq.finetuning import FinetuneSettings
from mmq.finetuning._joint import JointTask
from mmq.nn.codebook import hard_index
from mmq.nn.soft_items import SoftItems
from mmq.training._loop import epoch_generator

N, K, D = 2, 3, 4
ALONE = {"reconstruction_weight": 0, "auxiliary_weight": 0, "target_codes": "detached"}
"""No anchors, and no gradient through targets: the task alone."""


def joint(kind, problem, **changes):
    made = tokenizer(kind)
    student, data = STUDENTS[problem](made, dropout=0.0)
    settings = FinetuneSettings(mode="joint", **changes)
    task = JointTask(student, made, data, made.inputs(catalogue()), settings)
    task.network.zero_grad()
    return task


def first_batch(task):
    """A batch of the task; the state of the tokens is that of an epoch's start."""
    return next(iter(task.batches(epoch_generator(0, 0))))


def test_soft_items_look_up_exactly():
    logits = torch.randn(5, N, K, generator=torch.Generator().manual_seed(0))
    soft = SoftItems(torch.tensor([1, 4, 5, 8, 9]), hard_index(logits, 0.3), False)
    table = torch.randn(N * K, D, generator=torch.Generator().manual_seed(1))
    codes = logits.argmax(2)
    expected = table[codes + torch.tensor([0, K])]
    assert torch.equal(soft.look_up(table), expected)
    torch.testing.assert_close(soft.add_up(table), expected.sum(1))
    rows = torch.tensor([9, 0, 4, 4, 10, 1])
    plain = torch.zeros(len(rows), N, D)
    found = soft.replace(plain, rows, soft.look_up(table))
    assert torch.equal(found[[0, 2, 3, 5]], expected[[4, 1, 1, 0]])
    assert (found[[1, 4]] == 0).all()


def test_the_gradient_is_the_analytic_one():
    """Of ``sum_u g_u . (ind_u @ W)``: a softmax's, with the hard index for W."""
    generator = torch.Generator().manual_seed(2)
    tau = 0.4
    logits = torch.randn(3, N, K, dtype=torch.float64, generator=generator).requires_grad_()
    table = torch.randn(N * K, D, dtype=torch.float64, generator=generator).requires_grad_()
    wanted = torch.randn(3, N, D, dtype=torch.float64, generator=generator)
    soft = SoftItems(torch.arange(3), hard_index(logits, tau), False)
    (soft.look_up(table) * wanted).sum().backward()
    hard = torch.nn.functional.one_hot(logits.argmax(2), K).double()
    p = torch.softmax(logits.detach() / tau, 2)
    for u in range(3):
        for i in range(N):
            to_index = table.detach().view(N, K, D)[i] @ wanted[u, i]
            jacobian = (torch.diag(p[u, i]) - torch.outer(p[u, i], p[u, i])) / tau
            torch.testing.assert_close(logits.grad[u, i], jacobian @ to_index)
    to_table = torch.einsum("unk,und->nkd", hard, wanted).flatten(0, 1)
    torch.testing.assert_close(table.grad, to_table)


@pytest.mark.parametrize("problem", STUDENTS)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_forward_pass_is_that_of_the_table(kind, problem):
    """To the bit: what soft codes change is the gradient alone."""
    task = joint(kind, problem, **ALONE)
    batch = first_batch(task)
    task.network.eval()  # no dropout, nothing hidden
    task.own.settings = task.own.settings.model_copy(
        update={"unknown_share": 0.0} if problem == "ranking" else {}
    )
    plain = task.own.part(batch, 0.0)
    soft = task.part(batch, 0.0)
    assert torch.equal(plain.loss, soft.loss)
    assert plain[1:] == soft[1:]


@pytest.mark.parametrize("problem", STUDENTS)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_task_alone_reaches_experts_and_codebooks(kind, problem):
    task = joint(kind, problem, **ALONE)
    task.part(first_batch(task), 0.0).loss.backward()
    network = task.tokenizer.network
    reached = {
        name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()
    }
    if kind == "mmq":
        assert "codebooks" in reached
        assert any(name.startswith("shared") for name in reached)
        assert all(any(n.startswith(f"specific.{m}") for n in reached) for m in range(2))
        assert not any(name.startswith(("decoder", "gates")) for name in reached)
    elif kind == "additive":
        assert reached == {"table", *(f"adapters.{m}" for m in range(2))}
    else:
        for group in range(len(network.quantisers)):
            assert f"quantisers.{group}.codebooks" in reached
            assert f"quantisers.{group}.encoder.0.weight" in reached
        assert not any("decoder" in name for name in reached)


def test_the_anchor_reaches_gates_and_decoders():
    task = joint("mmq", "retrieval")
    task.part(first_batch(task), 0.0).loss.backward()
    reached = {
        name
        for name, p in task.tokenizer.network.named_parameters()
        if p.grad is not None and p.grad.any()
    }
    for start in ("gates", "decoder", "modality_decoders", "codebooks", "shared", "specific"):
        assert any(name.startswith(start) for name in reached), start


def test_detached_targets_carry_no_gradient():
    """With no layer that reads histories' codes, only targets are left to carry one."""
    task = joint("mmq", "retrieval", reconstruction_weight=0, auxiliary_weight=0)
    batch = first_batch(task)
    network = task.student.network
    for soft, carried in (("detached", False), ("soft", True)):
        task.settings = FinetuneSettings(
            mode="joint", reconstruction_weight=0, auxiliary_weight=0, target_codes=soft
        )
        task.network.zero_grad()
        embedded = network.embedded
        network.embedded = lambda rows, soft=None: network.token_embeddings[
            network.codes[rows] + network.offsets
        ]
        loss = task.part(batch, 0.0).loss
        network.embedded = embedded
        loss.backward()
        gradient = task.tokenizer.network.codebooks.grad
        assert (gradient is not None and bool(gradient.any())) == carried


def test_a_code_moves_to_where_users_are():
    """Descending the loss raises the logit of the code whose classifier is nearer the users."""
    made = tokenizer()
    student, _ = retrieval(made)
    network = student.network
    users = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    row = torch.tensor([int(network.competitors[3])])
    logits = torch.zeros(1, network.codes.shape[1], 8, requires_grad=True)
    soft = SoftItems(row, hard_index(logits, 0.1), True)
    network._step_loss(users, row.expand(6), soft).backward()
    sums = network.heads.codes.detach() @ users.mean(0) + network.heads.bias.detach()[:, 0]
    best = sums.argmax(1)
    for position, code in enumerate(best.tolist()):
        gradient = logits.grad[0, position]
        assert gradient[code] == gradient.min() < 0


def test_only_some_items_carry_a_gradient():
    task = joint("mmq", "retrieval", items_per_step=5)
    batch = first_batch(task)
    rows = task.adapter.rows(task.data, batch)
    torch.manual_seed(0)
    drawn = [task._drawn(rows) for _ in range(50)]
    assert all(len(each) == 5 and bool((each.diff() > 0).all()) for each in drawn)
    assert len(torch.cat(drawn).unique()) == len(rows)
    assert set(torch.cat(drawn).tolist()) == set(rows.tolist())


def test_noise_draws_codes_by_their_softmax():
    torch.manual_seed(0)
    logits = torch.tensor([0.3, 0.1, -0.2]).expand(20000, 3)
    drawn = hard_index(logits, 0.25, noise=1.0).mean(0)
    torch.testing.assert_close(drawn, torch.softmax(logits[0] / 0.25, 0), atol=0.015, rtol=0)
    assert torch.equal(hard_index(logits, 0.25).mean(0), torch.tensor([1.0, 0, 0]))
    few = hard_index(logits, 0.25, noise=0.2).mean(0)
    assert 0.9 < few[0] < 1


def test_items_of_a_task_are_those_of_its_batches():
    for problem in STUDENTS:
        task = joint("mmq", problem)
        batch = first_batch(task)
        rows = task.adapter.rows(task.data, batch)
        assert (np.diff(rows) > 0).all()
        names = {task.data.item_ids[int(row)].as_py() for row in rows}
        if problem == "ranking":
            expected = {task.data.item_ids[i].as_py() for i in task.data.train.take(batch).items}
        else:
            expected = {task.data.item_ids[int(i)].as_py() for i in batch.pack().rows}
        assert names == expected
        ids = task.student.semantic_ids
        assert [ids.item_ids[int(p)].as_py() for p in task.places[rows]] == [
            task.data.item_ids[int(row)].as_py() for row in rows
        ]

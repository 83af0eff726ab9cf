"""Two processes fine-tune as one: codes are those of the whole batch in each of them."""

import pytest
import torch

from children import found_by_two
from finetuning.tiny import STUDENTS, catalogue, tokenizer
from mmq.finetuning import FinetuneSettings, finetune
from mmq.finetuning._joint import JointTask
from mmq.training._distributed import summed
from mmq.training._early_stopping import EarlyStoppedTraining
from mmq.training._loop import epoch_generator

SETTINGS = {"noise": 0.5, "items_per_step": 9, "tokenizer_rate": 0.5, "commitment_weight": 0.1}
STILL = {
    "retrieval": {"dropout": 0.0, "epochs": 1},
    "ranking": {"dropout": 0.0, "unknown_share": 0.0, "epochs": 1},
}
"""Nothing is drawn by each process for itself."""


def step_of(problem, kind="mmq"):
    """Loss summed over the targets and all gradients of a step, and the mean losses it tells."""
    made = tokenizer(kind)
    student, data = STUDENTS[problem](made, **STILL[problem])
    task = JointTask(
        student, made, data, made.inputs(catalogue()), FinetuneSettings(mode="joint", **SETTINGS)
    )
    training = EarlyStoppedTraining(task, task.settings.learning(student.settings, 2))
    totals = {}
    batch = next(iter(task.batches(epoch_generator(0, 0))))
    task.network.train()
    training.step(batch, 0.5, totals)
    gradients = [
        (torch.zeros_like(each) if each.grad is None else each.grad).flatten()
        for each in task.network.parameters()
    ]
    return torch.cat([summed(totals["loss"])[None], *gradients]), task._means()


def whole(problem):
    """A fine-tuning of two epochs."""
    made = tokenizer()
    student, data = STUDENTS[problem](made, **STILL[problem])
    fit = finetune(
        made, student, data, catalogue(), FinetuneSettings(mode="joint", **SETTINGS, epochs=2)
    )
    weights = [float(each.sum()) for each in student.tensors().values()]
    return {"log": fit.log, "codes": fit.codes_after.tolist(), "weights": weights}


def found():
    """What each of the processes learned."""
    steps = {}
    for problem in STILL:
        step, means = step_of(problem)
        steps[problem] = {"step": step.tolist(), "means": means}
    return {"steps": steps, "whole": whole("retrieval")}


def test_two_processes_make_the_step_of_one(tmp_path):
    one, other = found_by_two(found, tmp_path)
    assert one == other  # to the bit, or the processes would drift apart
    for problem, both in one["steps"].items():
        step, means = step_of(problem)
        assert bool(step.any())
        torch.testing.assert_close(torch.tensor(both["step"]), step, rtol=1e-3, atol=1e-5)
        assert both["means"] == pytest.approx(means, rel=1e-4)
    alone = whole("retrieval")
    for together, expected in zip(one["whole"]["log"], alone["log"], strict=True):
        for name in ("loss", "mean_task", "mean_reconstruction"):
            assert together[name] == pytest.approx(expected[name], rel=5e-2)

"""Two processes train as one: the step of each is that of the whole batch."""

import numpy as np
import pytest
import torch

from children import found_by_two
from mmq.recommenders import SASRec
from mmq.recommenders._fit import RetrievalTask
from mmq.recommenders._heterrec.network import HeterRecNetwork
from mmq.recommenders._heterrec.settings import HeterRecSettings
from mmq.recommenders._sasrec import SASRecNetwork, SASRecSettings
from mmq.testing import tiny_ids, tiny_retrieval_data
from mmq.training._distributed import summed
from mmq.training._early_stopping import EarlyStoppedTraining
from mmq.training._loop import epoch_generator

SMALL = {"hidden_dim": 8, "heads": 2, "item_layers": 1, "history": 5, "batch_size": 16}

SAMPLED = {**SMALL, "dropout": 0.0, "negatives": 4}

NETWORKS = {
    "sasrec": lambda: SASRecNetwork(30, SASRecSettings(**SMALL, dropout=0.0)),
    "sasrec-sampled": lambda: SASRecNetwork(30, SASRecSettings(**SAMPLED)),
    "heterrec-sampled": lambda: HeterRecNetwork(
        tiny_ids(), HeterRecSettings(**SAMPLED), np.ones(30, bool)
    ),
    "listwise": lambda: HeterRecNetwork(
        tiny_ids(),
        HeterRecSettings(**SMALL, dropout=0.0, steps=3, item_token=True, head="autoregressive"),
        np.ones(30, bool),
    ),
}


class Sparse(SASRec):
    """With a table of which few rows learn in a step."""

    def _make(self):
        made = super()._make()
        made.sparse = made.negatives is not None
        return made


def step_of(name, windows):
    """Loss summed over the targets and all gradients of a step."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    network.sparse = network.negatives is not None
    train = tiny_retrieval_data().train
    settings = network_settings(name)
    task = RetrievalTask(network, settings, train, steps_of(name), dict)
    training = EarlyStoppedTraining(task, settings)
    totals = {}
    chosen = train.windows(5, epoch_generator(0, 0)).take(slice(0, windows))
    training.step(chosen, 0.5, totals)
    gradients = [
        (torch.zeros_like(each) if each.grad is None else each.grad.to_dense()).flatten()
        for each in network.parameters()
    ]
    return torch.cat([summed(totals["loss"])[None], *gradients])


def network_settings(name):
    return SASRecSettings(**SMALL) if "sasrec" in name else HeterRecSettings(**SMALL)


def steps_of(name):
    return 3 if name == "listwise" else 1


def trained(**changes):
    """A short training."""
    made = Sparse(**SMALL, epochs=3, dropout=0.0, **changes)
    made.fit(tiny_retrieval_data())
    return made


TRAININGS = ({}, {"negatives": 4})


def found():
    """What each of the processes learned."""
    steps = {f"{name} {n}": step_of(name, n).tolist() for name in NETWORKS for n in (1, 13)}
    models = [trained(**changes) for changes in TRAININGS]
    weights = [float(each.sum()) for made in models for each in made.tensors().values()]
    return {"steps": steps, "logs": [made.log for made in models], "weights": weights}


def test_two_processes_make_the_step_of_one(tmp_path):
    one, other = found_by_two(found, tmp_path)
    assert one == other  # to the bit, or the processes would drift apart
    for name, step in one["steps"].items():
        network, windows = name.split()
        expected = step_of(network, int(windows))
        torch.testing.assert_close(torch.tensor(step), expected, rtol=1e-4, atol=1e-6)
    for log, changes in zip(one["logs"], TRAININGS, strict=True):
        for together, alone in zip(log, trained(**changes).log, strict=True):
            assert together["loss"] == pytest.approx(alone["loss"], rel=1e-3)

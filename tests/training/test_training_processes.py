"""What the loop does so that processes stay alike."""

import functools

import pytest
import torch
import torch.distributed as dist

from children import found_by_two
from mmq.made_from import Checkpoint
from mmq.tokenizers._rqvae.fit import RQVAETask
from mmq.tokenizers._rqvae.network import RQVAENetwork
from mmq.tokenizers._rqvae.settings import RQVAESettings
from mmq.training._distributed import place
from mmq.training._loop import Training, train

SETTINGS = RQVAESettings(
    codebook_size=8, latent_dim=4, length=2, epochs=4, batch_size=30, codebook="ema"
)


def training():
    """One whose network is not the same in every process."""
    torch.manual_seed(5)
    x = torch.randn(100, 6)
    torch.manual_seed(place()[0])
    return Training(RQVAETask(RQVAENetwork({"text": 6}, SETTINGS), x, torch.ones(100, 1)), SETTINGS)


def weights(made):
    return {name: tensor.flatten().tolist() for name, tensor in made.state().items()}


def resumed(path):
    """The weights after a training that was broken off in its third epoch, and went on."""
    broken, epochs = training(), iter(range(2))
    batches = broken.task.batches

    def until_the_third(generator):
        if next(epochs, None) is None:
            raise KeyboardInterrupt
        return batches(generator)

    broken.task.batches = until_the_third
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmq.training._loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            train(broken, Checkpoint(path))
    dist.barrier()  # the first has written
    again = training()
    assert train(again, Checkpoint(path, resume=True)).epochs == 4
    assert len(again.log) == 4
    return weights(again)


def found(folder):
    """The weights after a training, and after one that was resumed."""
    whole = training()
    train(whole)
    return {"whole": weights(whole), "resumed": resumed(folder / "checkpoint")}


def test_processes_begin_as_the_first_and_go_on_alike(tmp_path):
    one, other = found_by_two(functools.partial(found, tmp_path), tmp_path)
    assert one == other
    assert one["resumed"] == one["whole"]
    alone = training()
    train(alone)
    for name, values in weights(alone).items():
        torch.testing.assert_close(
            torch.tensor(one["whole"][name]), torch.tensor(values), rtol=1e-3, atol=1e-4
        )

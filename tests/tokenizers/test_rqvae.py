import functools

import numpy as np
import pytest
import torch

from mmq.data import Catalogue
from mmq.testing import TokenizerConformance, tiny_catalogue
from mmq.tokenizers._rqvae.fit import RQVAETask
from mmq.tokenizers._rqvae.network import RQVAENetwork
from mmq.tokenizers._rqvae.settings import RQVAESettings
from mmq.tokenizers._rqvae.tokenizer import RQVAETokenizer
from mmq.training._loop import Training, epoch_generator

SMALL = {
    "codebook_size": 8,
    "hidden_sizes": (16,),
    "latent_dim": 8,
    "epochs": 5,
    "batch_size": 80,
    "learning_rate": 1e-2,
    "input_noise": 0.1,
}


class TestAligned(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQVAETokenizer(**SMALL))


class TestSeparated(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQVAETokenizer(**SMALL, fusion="separated", codebook="ema"))


class TestIndexEstimator(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQVAETokenizer(**SMALL, codebook="index", fusion="separated"))


OPTIONS = [
    {"hidden_sizes": (), "epochs": 20},
    {"codebook": "ema"},
    {"codebook": "index"},
    {"commitment_weight": 2.0},
    {"input_noise": 0.5},
    {"weight_decay": 0.1},
    {"schedule": "constant"},
    {"fusion": "separated"},
]


@functools.cache
def state_of_the_plain_one():
    tokenizer = RQVAETokenizer(**SMALL)
    tokenizer.fit(tiny_catalogue(missing=0.2))
    return tokenizer.network.state_dict()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: "-".join(map(str, option)))
def test_every_option_does_something_and_learns(option):
    tokenizer = RQVAETokenizer(**{**SMALL, **option})
    assert tokenizer.fit(tiny_catalogue(missing=0.2)).fvu["fit"] < 0.95
    state = tokenizer.network.state_dict()
    assert any(
        name not in state or state[name].shape != value.shape or not torch.equal(state[name], value)
        for name, value in state_of_the_plain_one().items()
    )


def test_more_epochs_lower_the_error():
    few, many = ({**SMALL, "epochs": epochs} for epochs in (1, 30))
    short = RQVAETokenizer(**few).fit(tiny_catalogue()).l_recon["fit"]
    long = RQVAETokenizer(**many).fit(tiny_catalogue()).l_recon["fit"]
    assert long < 0.8 * short


@pytest.mark.parametrize(
    ("fusion", "codebook"), [("aligned", "loss"), ("separated", "ema"), ("separated", "index")]
)
def test_no_code_lies_idle(fusion, codebook):
    tokenizer = RQVAETokenizer(
        **{**SMALL, "codebook_size": 32, "epochs": 12}, fusion=fusion, codebook=codebook
    )
    assert tokenizer.fit(tiny_catalogue(400, missing=0.2)).utilisation >= 0.99


def training_of(catalogue_dimensions, x, present, **changes):
    torch.manual_seed(0)
    network = RQVAENetwork(catalogue_dimensions, RQVAESettings(**{**SMALL, **changes}))
    training = Training(RQVAETask(network, x, present), network.settings)
    training.begin()
    return training


def test_noise_falls_with_the_items_of_a_codeword():
    assert RQVAESettings().resolved_noise(3000) == 0.8
    assert RQVAESettings().resolved_noise(40_000) == pytest.approx(0.1)
    assert RQVAESettings(input_noise=0.3).resolved_noise(10) == 0.3


def test_revival_brings_unused_codes_back():
    training = training_of({"text": 12}, torch.randn(200, 12), torch.ones(200, 1))
    codebooks = training.task.network.groups()[0].codebooks
    with torch.no_grad():
        codebooks[1] = codebooks[1, :1]  # all alike: only the first is ever used
    totals = training.run_epoch(epoch_generator(0, 0), lambda count: None)
    assert totals["revived"] >= 5
    assert len(codebooks[1].unique(dim=0)) >= 6


def test_the_start_scales_latents_to_the_inputs():
    x = torch.nn.functional.normalize(torch.randn(200, 12), dim=1)
    training = training_of({"text": 12}, x, torch.ones(200, 1))
    group = training.task.network.requires_grad_(False).groups()[0]
    assert group.encoder(x).square().sum(1).mean() == pytest.approx(1, rel=1e-4)
    residuals = group.quantise(x).residuals
    lengths = residuals.square().sum(2).mean(1)
    assert (lengths[1:] < lengths[:-1]).all()
    torch.testing.assert_close(group.mean_squares, lengths[:-1])


def test_separated_groups_learn_as_if_each_were_alone():
    """One loop trains both, and neither knows of the other."""
    x, present = torch.randn(200, 20), torch.ones(200, 2)
    both = training_of({"text": 12, "image": 8}, x, present, fusion="separated")
    other_image = torch.cat([x[:, :12], 3 * torch.randn(200, 8)], dim=1)
    other = training_of({"text": 12, "image": 8}, other_image, present, fusion="separated")
    text, same, image = both.task.network.groups()[0], other.task.network.groups()[0], 1
    with torch.no_grad():  # the start's generator is one for all groups; the text's comes first
        assert torch.equal(text.codebooks, same.codebooks)
    for training in (both, other):
        training.run_epoch(epoch_generator(0, 0), lambda count: None)
    assert torch.equal(text.codebooks, same.codebooks)
    assert not torch.equal(
        both.task.network.groups()[image].codebooks, other.task.network.groups()[image].codebooks
    )


def test_items_without_any_embedding_are_left_out():
    known = tiny_catalogue(200)
    text = np.concatenate([known.embeddings["text"], np.full((40, 12), np.nan)])
    image = np.concatenate([known.embeddings["image"], np.full((40, 8), np.nan)])
    more = Catalogue.build(np.arange(240), {"text": text, "image": image})
    plain, other = RQVAETokenizer(**SMALL), RQVAETokenizer(**SMALL)
    plain.fit(known)
    other.fit(more)
    for name, value in plain.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), name
    assert len(np.unique(other.encode(more)[200:], axis=0)) == 1


@pytest.mark.parametrize("fusion", ["aligned", "separated"])
def test_soft_codes_are_the_codes_and_reach_every_weight_before_them(fusion):
    tokenizer = RQVAETokenizer(**SMALL, fusion=fusion)
    tokenizer.fit(tiny_catalogue())
    network = tokenizer.network.requires_grad_(True)
    index = tokenizer.soft_codes(tiny_catalogue())
    codes = torch.from_numpy(tokenizer.encode(tiny_catalogue())).long()
    assert torch.equal(index.detach(), torch.nn.functional.one_hot(codes, 8).float())
    (index * torch.randn_like(index)).sum().backward()
    for group in network.groups():
        assert group.encoder[0].weight.grad.abs().sum() > 0
        assert (group.codebooks.grad.abs().sum((1, 2)) > 0).all()


def test_ordered_where_one_quantiser_makes_all_codes():
    for fusion, widths, ordered in (
        ("aligned", None, True),
        ("separated", None, False),
        ("separated", {"text": 12}, True),
    ):
        tokenizer = RQVAETokenizer(**{**SMALL, "epochs": 1}, fusion=fusion)
        tokenizer.fit(tiny_catalogue(100, widths=widths))
        assert tokenizer.ordered is ordered


def test_mean_squares_are_those_of_the_trained_residuals():
    tokenizer = RQVAETokenizer(**SMALL)
    tokenizer.fit(tiny_catalogue())
    group = tokenizer.network.groups()[0]
    x, _ = tokenizer._inputs(tiny_catalogue())
    lengths = group.quantise(x).residuals[:-1].square().sum(2).mean(1)
    torch.testing.assert_close(group.mean_squares, lengths)

import pytest
import torch
from torch.nn.functional import normalize

from mmq import MMQSettings
from mmq.nn.codebook import similarity
from mmq.tokenizers._mmq.network import MMQNetwork

CASES = [
    {"codebook_size": 10, "latent_dim": 32},  # folding pays
    {"codebook_size": 64, "latent_dim": 8},  # it does not
    {"codebook_size": 10, "latent_dim": 32, "distance": "l2"},
    {"codebook_size": 64, "latent_dim": 8, "distance": "l2"},
    {"codebook_size": 10, "shared_experts": 0},
    {"codebook_size": 10, "specific_experts": {"a": 3, "b": 0}},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("missing", [False, True])
def test_codes_are_the_most_similar_codewords(case, missing):
    torch.manual_seed(0)
    network = MMQNetwork(
        {"a": 20, "b": 12}, MMQSettings(learning="gradient", **case)
    ).requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.cat([normalize(torch.randn(50, width), dim=1) for width in (20, 12)], dim=1)
    present = torch.ones(50, 2)
    if missing:
        present[:10, 1] = 0
        x[:10, 20:] = 0
    codes = network.search()(x, present)
    logits = similarity(
        network.latents(x, present)[0], network.codebooks, network.settings.distance
    )
    chosen = logits.transpose(0, 1).gather(2, codes.long().unsqueeze(2)).squeeze(2)
    best = logits.transpose(0, 1).max(2).values
    torch.testing.assert_close(chosen, best, atol=1e-4, rtol=1e-4)


def test_folding_is_chosen_by_cost():
    def folded(**case):
        search = MMQNetwork({"a": 20, "b": 12}, MMQSettings(learning="gradient", **case)).search()
        return [group.experts is None for group in search.groups]

    assert folded(codebook_size=10, latent_dim=32) == [True, True, True]
    assert folded(codebook_size=64, latent_dim=8) == [False, False, False]

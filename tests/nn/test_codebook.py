import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cosine_similarity

from mmq.nn.codebook import (
    hard_index,
    look_up,
    quantise_through_index,
    search_keys,
    similarity,
    straight_through,
)

B, N, K, D = 5, 3, 7, 4


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(B, N, D, generator=generator, dtype=torch.float64, requires_grad=True)
    codebooks = torch.randn(N, K, D, generator=generator, dtype=torch.float64, requires_grad=True)
    return z, codebooks


def plain_index(z, codebooks, tau):
    """Eq. 15-18 letter by letter, left to automatic differentiation."""
    p = torch.stack(
        [cosine_similarity(z[:, n, None], codebooks[n][None], dim=2) for n in range(len(codebooks))]
    )
    soft = torch.softmax(p / tau, dim=2)
    hard = torch.nn.functional.one_hot(p.argmax(2), p.shape[2]).to(soft.dtype)
    return soft + (hard - soft).detach()


def test_similarity_is_the_cosine_and_its_gradient(case):
    z, codebooks = case
    expected = cosine_similarity(z.transpose(0, 1)[:, :, None], codebooks[:, None], dim=3)
    torch.testing.assert_close(similarity(z, codebooks, "cosine"), expected)
    assert torch.autograd.gradcheck(lambda a, b: similarity(a, b, "cosine"), (z, codebooks))


def test_l2_similarity_is_minus_half_the_squared_distance(case):
    z, codebooks = case
    expected = -0.5 * (z.transpose(0, 1)[:, :, None] - codebooks[:, None]).square().sum(3)
    torch.testing.assert_close(similarity(z, codebooks, "l2"), expected)


def test_forward_is_exactly_the_hard_look_up(case):
    z, codebooks = case
    quantised, codes = quantise_through_index(similarity(z, codebooks, "cosine"), codebooks, 0.1)
    for b in range(B):
        for n in range(N):
            assert torch.equal(quantised[b, n], codebooks[n, codes[b, n]])
    assert torch.equal(look_up(codebooks, codes), quantised)


@pytest.mark.parametrize("tau", [0.05, 1.0])
def test_gradient_equals_the_analytic_soft_index_gradient(case, tau):
    z, codebooks = case
    weight = torch.randn(B, N, D, dtype=torch.float64)
    quantised, _ = quantise_through_index(similarity(z, codebooks, "cosine"), codebooks, tau)
    ours = torch.autograd.grad((quantised * weight).sum(), (z, codebooks))
    plain = torch.bmm(plain_index(z, codebooks, tau), codebooks).transpose(0, 1)
    expected = torch.autograd.grad((plain * weight).sum(), (z, codebooks))
    for mine, theirs in zip(ours, expected, strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(mine, theirs)


def test_hard_index_is_one_hot_with_the_softmax_gradient(case):
    z, codebooks = case
    index = hard_index(similarity(z, codebooks, "cosine").transpose(0, 1), 0.2)
    assert set(index.detach().unique().tolist()) == {0.0, 1.0}
    assert torch.equal(index.sum(2), torch.ones(B, N, dtype=index.dtype))
    weight = torch.randn(B, N, K, dtype=torch.float64)
    (ours,) = torch.autograd.grad((index * weight).sum(), z)
    plain = plain_index(z, codebooks, 0.2).transpose(0, 1)
    (expected,) = torch.autograd.grad((plain * weight).sum(), z)
    torch.testing.assert_close(ours, expected)


@given(seed=st.integers(0, 2**16), distance=st.sampled_from(["cosine", "l2"]))
@settings(max_examples=25, deadline=None)
def test_search_keys_find_the_nearest(seed, distance):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(6, 2, 3, generator=generator)
    codebooks = torch.randn(2, 5, 3, generator=generator)
    keys, offset = search_keys(codebooks, distance)
    scores = torch.bmm(z.transpose(0, 1), keys) + (0 if offset is None else offset)
    codes = scores.argmax(2).T.numpy()
    for b in range(6):
        for n in range(2):
            word, latent = codebooks[n].numpy(), z[b, n].numpy()
            if distance == "cosine":
                score = word @ latent / np.linalg.norm(word, axis=1)
            else:
                score = -((word - latent) ** 2).sum(1)
            assert score[codes[b, n]] == pytest.approx(score.max(), abs=1e-5)


def test_straight_through_gives_the_value_of_one_and_the_gradient_of_the_other(case):
    z, _ = case
    out = straight_through(z, torch.zeros_like(z))
    assert torch.allclose(out, torch.zeros_like(z))
    (grad,) = torch.autograd.grad(out.sum(), z)
    assert torch.equal(grad, torch.ones_like(z))

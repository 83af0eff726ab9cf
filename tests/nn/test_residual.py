import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from mmq.nn import residual


def made(b=7, levels=3, k=5, d=4, seed=0, dtype=torch.float64):
    """Vectors and codebooks whose levels shrink, as those of residuals do."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(b, d, generator=generator, dtype=dtype)
    codebooks = torch.randn(levels, k, d, generator=generator, dtype=dtype)
    return z, codebooks * 0.6 ** torch.arange(levels, dtype=dtype)[:, None, None]


def plain_levels(z, codebooks):
    """Codes and residuals by loops over levels, items and codewords."""
    codes, residuals = [], [z.clone()]
    for codebook in codebooks:
        left, own = residuals[-1].clone(), []
        for i, vector in enumerate(left):
            scores = [-float(((vector - c) ** 2).sum()) for c in codebook]
            own.append(int(np.argmax(scores)))
            left[i] = vector - codebook[own[-1]]
        codes.append(own)
        residuals.append(left)
    return torch.tensor(codes), torch.stack(residuals)


@given(seed=st.integers(0, 10**6), b=st.integers(1, 9), levels=st.integers(1, 4))
def test_quantise_is_the_plain_loop(seed, b, levels):
    z, codebooks = made(b, levels, seed=seed)
    codes, residuals = plain_levels(z, codebooks)
    found = residual.quantise(z, codebooks)
    assert torch.equal(found.codes, codes)
    torch.testing.assert_close(found.residuals, residuals)
    torch.testing.assert_close(residual.take(codebooks, codes.T), z - residuals[-1])


def test_straight_through_is_autograd_of_the_losses_as_written():
    z, codebooks = made()
    levels = residual.quantise(z, codebooks)
    pull = torch.randn_like(z)
    gradients = []
    for written_out in (True, False):
        latents = z.clone().requires_grad_(True)
        books = codebooks.clone().requires_grad_(True)
        if written_out:
            quantised, loss = residual.straight_through(latents, books, levels, 0.25, 1.5)
        else:
            loss, taken = 0.0, torch.zeros_like(z)
            for own, book in zip(levels.codes, books, strict=True):
                left = latents - taken  # earlier codewords are constants
                loss = loss + 1.5 * (left.detach() - book[own]).square().sum()
                loss = loss + 0.25 * (left - book[own].detach()).square().sum()
                taken = taken + book[own].detach()
            quantised = latents + (taken - latents).detach()
        ((quantised * pull).sum() + 0.7 * loss).backward()
        gradients.append((quantised.detach(), loss.detach(), latents.grad, books.grad))
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain)


def plain_logits(left, book, mean_square):
    return -0.5 * (left[:, None] - book[None]).square().sum(2) / mean_square


def plain_soft(z, codebooks, mean_squares, tau):
    """``ind`` of Eq. 18 as written, by automatic differentiation alone."""
    indices = []
    for book, mean_square in zip(codebooks, mean_squares, strict=True):
        soft = torch.softmax(plain_logits(z, book, mean_square) / tau, dim=1)
        hard = one_hot(soft.argmax(1), len(book)).to(soft.dtype)
        indices.append(soft + (hard - soft).detach())
        z = z - indices[-1] @ book
    return torch.stack(indices, dim=1), z


def test_soft_codes_are_exact_forward_and_the_softmax_backward():
    z, codebooks = made()
    mean_squares = residual.quantise(z, codebooks).residuals[:-1].square().sum(2).mean(1)
    pull = torch.randn(7, 3, 5, dtype=z.dtype)
    gradients = []
    for function in (residual.soft_codes, plain_soft):
        latents = z.clone().requires_grad_(True)
        books = codebooks.clone().requires_grad_(True)
        index, _ = function(latents, books, mean_squares, 0.3)
        (index * pull).sum().backward()
        gradients.append((index.detach(), latents.grad, books.grad))
    codes = residual.quantise(z, codebooks).codes.T
    assert torch.equal(gradients[0][0], one_hot(codes, 5).double())
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain)
    assert (gradients[0][2].abs().sum((1, 2)) > 0).all()


def test_through_index_is_autograd_of_the_index_estimator():
    z, codebooks = made()
    mean_squares = torch.tensor([2.0, 1.0, 0.5], dtype=z.dtype)
    pull = torch.randn_like(z)
    gradients = []
    for written_out in (True, False):
        latents = z.clone().requires_grad_(True)
        books = codebooks.clone().requires_grad_(True)
        if written_out:
            out = residual.through_index(latents, books, mean_squares, 0.3)
        else:
            out = latents - plain_soft(latents, books, mean_squares, 0.3)[1]
        (out * pull).sum().backward()
        gradients.append((out.detach(), latents.grad, books.grad))
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain)


def test_a_temperature_means_the_same_at_every_scale():
    z, codebooks = made(levels=1)
    square = z.square().sum(1).mean()
    logits = residual.level_logits(z, codebooks[0], square)
    tiny = residual.level_logits(z / 100, codebooks[0] / 100, square / 1e4)
    torch.testing.assert_close(logits, tiny)

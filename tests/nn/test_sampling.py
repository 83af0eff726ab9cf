import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from mmq.nn.sampling import draw_sample
from mmq.nn.softmax import softmax_cross_entropy

ITEMS = 23


def tensors_of(n=6, dim=4):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    weight = torch.randn(ITEMS, dim, generator=generator, dtype=torch.float64)
    targets = torch.tensor([3, 0, 22, 3, 9, 0])
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def sampled_loss(hidden, weight, targets, sample):
    places = sample.places(targets)
    return softmax_cross_entropy(hidden, weight[sample.rows], places, sample.log_weights)


@given(
    targets=st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=40),
    count=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_it_holds_every_target_once_and_as_many_others(targets, count, seed):
    sample = draw_sample(np.array(targets), ITEMS, count, np.random.default_rng(seed))
    rows, wanted = sample.rows.tolist(), sorted(set(targets))
    others = ITEMS - len(wanted)
    assert rows == sorted(set(rows))
    assert set(wanted) <= set(rows) <= set(range(ITEMS))
    assert len(rows) == len(wanted) + min(count, others)
    weight = np.log(others / min(count, others)) if others else 0.0
    for row, each in zip(rows, sample.log_weights.tolist(), strict=True):
        assert each == pytest.approx(0.0 if row in wanted else weight)
    assert sample.rows[sample.places(torch.tensor(targets))].tolist() == targets


def test_every_other_item_is_drawn_as_often():
    targets, generator = np.array([0, 1, 7, 8, 22]), np.random.default_rng(0)
    draws = [draw_sample(targets, ITEMS, 6, generator).rows.numpy() for _ in range(6000)]
    shares = np.bincount(np.concatenate(draws), minlength=ITEMS) / len(draws)
    expected = np.where(np.isin(np.arange(ITEMS), targets), 1.0, 6 / 18)
    np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(2 / 9 / 6000))


@pytest.mark.parametrize("count", [1, 5])
def test_the_partition_sum_is_unbiased(count):
    hidden, weight, targets = tensors_of()
    scores, generator = (hidden @ weight.T).detach().exp(), np.random.default_rng(0)
    sums = []
    for _ in range(4000):
        sample = draw_sample(targets.numpy(), ITEMS, count, generator)
        sums.append((scores[:, sample.rows] * sample.log_weights.exp()).sum(1))
    mean, error = torch.stack(sums).mean(0), torch.stack(sums).std(0) / len(sums) ** 0.5
    assert ((mean - scores.sum(1)).abs() < 4 * error).all()


@pytest.mark.parametrize("count", [ITEMS - 4, 100])
def test_of_all_items_it_is_the_full_loss_with_its_gradient(count):
    hidden, weight, targets = tensors_of()
    sample = draw_sample(targets.numpy(), ITEMS, count, np.random.default_rng(0))
    assert sample.rows.tolist() == list(range(ITEMS))
    found, expected = (
        sampled_loss(hidden, weight, targets, sample),
        cross_entropy(hidden @ weight.T, targets),
    )
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, (hidden, weight)),
        torch.autograd.grad(expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_the_loss_of_a_sample_is_that_of_a_plain_sum():
    hidden, weight, targets = tensors_of()
    sample = draw_sample(targets.numpy(), ITEMS, 5, np.random.default_rng(0))
    terms = []
    for user, target in zip(hidden.detach(), targets.tolist(), strict=True):
        total = sum(
            float((user @ weight[row]).detach().exp()) * (1 if row in targets else 19 / 5)
            for row in sample.rows.tolist()
        )
        terms.append(np.log(total) - float((user @ weight[target]).detach()))
    loss = float(sampled_loss(hidden, weight, targets, sample).detach())
    assert loss == pytest.approx(np.mean(terms), rel=1e-6)


def test_the_same_draw_comes_from_the_same_seed():
    one, other = (draw_sample(np.array([4]), 10**6, 50, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.rows, other.rows)

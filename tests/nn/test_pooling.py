import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmq.nn.pooling import pooled_means


@st.composite
def cases(draw):
    """A table, and lists of its rows: some empty, some with a row more than once."""
    size, dim = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    values = st.floats(-4, 4, width=16)
    table = draw(hnp.arrays(np.float64, (size, dim), elements=values))
    lists = draw(st.lists(st.lists(st.integers(0, size - 1), max_size=5), min_size=1, max_size=7))
    slopes = draw(hnp.arrays(np.float64, (len(lists), dim), elements=values))
    return table, lists, slopes


def packed(lists):
    rows = torch.tensor([row for each in lists for row in each], dtype=torch.int64)
    return rows, torch.tensor([len(each) for each in lists])


@given(cases())
def test_means_and_their_slopes_by_loops(case):
    table, lists, slopes = case
    means, back = np.zeros_like(slopes), np.zeros_like(table)
    for number, rows in enumerate(lists):
        for row in rows:
            means[number] += table[row] / len(rows)
            back[row] += slopes[number] / len(rows)
    given_table = torch.tensor(table, requires_grad=True)
    found = pooled_means(given_table, *packed(lists))
    assert found.shape == slopes.shape
    np.testing.assert_allclose(found.detach(), means, atol=1e-12)
    found.backward(torch.tensor(slopes))
    np.testing.assert_allclose(given_table.grad, back, atol=1e-12)


def test_slopes_against_differences():
    torch.manual_seed(0)
    rows, lengths = torch.tensor([4, 0, 0, 2, 4]), torch.tensor([0, 3, 0, 2, 0])
    table = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: pooled_means(each, rows, lengths), table)


@pytest.mark.parametrize("lists", [1, 3])
def test_lists_that_are_all_empty(lists):
    table = torch.randn(4, 2, requires_grad=True)
    found = pooled_means(table, torch.empty(0, dtype=torch.int64), torch.zeros(lists).long())
    assert found.tolist() == [[0.0, 0.0]] * lists
    found.sum().backward()
    assert not table.grad.any()


def test_a_slope_that_is_the_same_everywhere():
    """``sum`` hands back a gradient whose rows all lie in one place of the memory."""
    table = torch.ones(3, 2, requires_grad=True)
    pooled_means(table, torch.tensor([0, 0, 2]), torch.tensor([3, 0])).sum().backward()
    assert table.grad.tolist() == [
        [pytest.approx(2 / 3)] * 2,
        [0.0] * 2,
        [pytest.approx(1 / 3)] * 2,
    ]


def test_many_lists_of_a_larger_table():
    """As large as a batch, in float32, against PyTorch's own way back."""
    rng = np.random.default_rng(0)
    lengths = torch.from_numpy(rng.integers(0, 30, 2000))
    rows = torch.from_numpy(rng.integers(0, 500, int(lengths.sum())))
    slopes = torch.randn(2000, 8)
    table = torch.randn(500, 8, requires_grad=True)
    pooled_means(table, rows, lengths).backward(slopes)
    plain = table.detach().clone().requires_grad_()
    offsets = lengths.cumsum(0) - lengths
    expected = torch.nn.functional.embedding_bag(rows, plain, offsets, mode="mean")
    expected.backward(slopes)
    torch.testing.assert_close(pooled_means(table, rows, lengths), expected)
    torch.testing.assert_close(table.grad, plain.grad)
    again = table.detach().clone().requires_grad_()
    pooled_means(again, rows, lengths).backward(slopes)
    assert torch.equal(again.grad, table.grad)

import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.nn.code_sums import CodeSums


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
def test_sums_and_gradient_are_those_of_plain_loops(items, length, size, seed):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(size, (items, length), generator=generator)
    table = torch.randn(size, 3, generator=generator, dtype=torch.float64).requires_grad_()
    weights = torch.randn(items, 3, generator=generator, dtype=torch.float64)
    sums = CodeSums(tokens, size)(table)
    (sums * weights).sum().backward()
    expected, gradient = torch.zeros(items, 3).double(), torch.zeros(size, 3).double()
    for item in range(items):
        for token in tokens[item].tolist():
            expected[item] += table[token].detach()
            gradient[token] += weights[item]
    torch.testing.assert_close(sums.detach(), expected)
    torch.testing.assert_close(table.grad, gradient)


def test_gradcheck_with_codes_that_no_item_has():
    sums = CodeSums(torch.tensor([[0, 2, 2], [5, 2, 0]]), 8)
    table = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sums, (table,))
    sums(table).sum().backward()
    assert table.grad[:, 0].tolist() == [2, 0, 3, 0, 0, 1, 0, 0]


def test_nothing_of_it_is_saved_and_it_moves_with_its_module():
    sums = CodeSums(torch.tensor([[0, 1]]), 2)
    assert sums.state_dict() == {}
    assert sums.to("meta").tokens.device.type == "meta"

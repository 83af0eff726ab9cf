import pytest
import torch
from torch.nn.functional import cross_entropy

from mmq.nn import softmax
from mmq.nn.softmax import softmax_cross_entropy


def tensors(n, items, dim, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(n)
    hidden = torch.randn(n, dim, generator=generator, dtype=dtype) * scale
    weight = torch.randn(items, dim, generator=generator, dtype=dtype)
    targets = torch.randint(items, (n,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets


@pytest.mark.parametrize("n", [1, 127, 128, 129, 300])
def test_it_is_the_cross_entropy_of_torch_with_both_gradients(n):
    hidden, weight, targets = tensors(n, 17, 5)
    expected = cross_entropy(hidden @ weight.T, targets)
    wanted = torch.autograd.grad(3 * expected, (hidden, weight))
    loss = softmax_cross_entropy(hidden, weight, targets)
    found = torch.autograd.grad(3 * loss, (hidden, weight))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dim", [4, 31, 32, 129])
def test_of_many_items_widths_make_no_difference(dim, monkeypatch):
    monkeypatch.setattr(softmax, "_LARGE", 1)
    hidden, weight, targets = tensors(20, 17, dim)
    expected = cross_entropy(hidden @ weight.T, targets)
    loss = softmax_cross_entropy(hidden, weight, targets)
    torch.testing.assert_close(loss, expected)
    for one, other in zip(
        torch.autograd.grad(loss, (hidden, weight)),
        torch.autograd.grad(expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_the_gradient_is_that_of_differences(monkeypatch):
    monkeypatch.setattr(softmax, "_ROWS", 3)
    hidden, weight, targets = tensors(7, 5, 4)
    assert torch.autograd.gradcheck(
        lambda h, w: softmax_cross_entropy(h, w, targets), (hidden, weight)
    )


def test_large_logits_do_not_overflow():
    hidden, weight, targets = tensors(40, 9, 6, torch.float32, scale=1e4)
    loss = softmax_cross_entropy(hidden, weight, targets)
    loss.backward()
    expected = cross_entropy((hidden.double() @ weight.double().T), targets)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert hidden.grad.isfinite().all()
    assert weight.grad.isfinite().all()


def test_mixed_precision_does_not_reach_it():
    hidden, weight, targets = tensors(150, 30, 8, torch.float32)
    expected = softmax_cross_entropy(hidden, weight, targets)
    with torch.autocast("cpu", torch.bfloat16):
        loss = softmax_cross_entropy(hidden, weight, targets)
        rounded = softmax_cross_entropy(hidden.bfloat16(), weight, targets)
    assert loss.item() == expected.item()
    rounded.backward()
    assert hidden.grad.dtype == torch.float32
    assert rounded.item() == pytest.approx(expected.item(), rel=1e-2)


def test_what_it_is_given_stays_as_it_is():
    hidden, weight, targets = tensors(10, 6, 3)
    before = hidden.clone(), weight.clone(), targets.clone()
    softmax_cross_entropy(hidden, weight, targets).backward()
    for one, other in zip(before, (hidden, weight, targets), strict=True):
        assert torch.equal(one, other)


def test_weights_are_copies_that_compete_alike():
    """An item of weight 3 competes as three items would; as a target it counts as itself."""
    hidden, weight, targets = tensors(9, 5, 4)
    counts = torch.tensor([1.0, 3.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    copied = weight.repeat_interleave(counts.int(), 0)
    expected = cross_entropy(hidden @ copied.T, (counts.cumsum(0) - counts).long()[targets])
    loss = softmax_cross_entropy(hidden, weight, targets, counts.log())
    torch.testing.assert_close(loss, expected)
    for one, other in zip(
        torch.autograd.grad(loss, (hidden, weight)),
        torch.autograd.grad(expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)

import pytest
import torch

from mmq.nn.dropout import dropout

ENTRIES = 200_001
"""No multiple of four, which one draw serves."""


def drawn(share, shape=(ENTRIES,), seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return dropout(torch.ones(shape, dtype=dtype), share, training=True)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_the_share_is_dropped_and_the_mean_stays(share):
    found = drawn(share)
    deviation = (share * (1 - share) / ENTRIES) ** 0.5
    assert abs(float((found == 0).double().mean()) - share) < 4 * deviation + 2**-16
    kept = found[found != 0]
    assert len(kept.unique()) == 1
    assert float(kept[0]) == pytest.approx(1 / (1 - share), rel=2e-4)


def test_every_place_of_a_draw_is_dropped_alike():
    lanes = (drawn(0.3)[: ENTRIES // 4 * 4].view(-1, 4) == 0).double()
    assert (lanes.mean(0) - 0.3).abs().max() < 4 * (0.21 / len(lanes)) ** 0.5
    assert (torch.corrcoef(lanes.T) - torch.eye(4)).abs().max() < 0.02


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 4), (0, 4)])
def test_any_shape_is_kept(shape):
    assert drawn(0.5, shape).shape == shape


def test_the_seed_tells_what_is_dropped():
    assert torch.equal(drawn(0.2), drawn(0.2))
    assert not torch.equal(drawn(0.2), drawn(0.2, seed=1))


@pytest.mark.parametrize(("share", "training"), [(0.5, False), (0.0, True), (1e-7, True)])
def test_nothing_is_dropped_in_evaluation_or_of_a_share_of_none(share, training):
    x = torch.randn(100)
    assert dropout(x, share, training) is x


def test_a_share_of_almost_all_is_finite():
    assert drawn(1 - 1e-9).isfinite().all()


def test_the_gradient_is_that_of_the_kept_entries():
    x = torch.randn(1000, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    found = dropout(x, 0.25, training=True)
    found.sum().backward()
    assert torch.equal(x.grad * x, found)
    assert x.grad.unique().tolist() == [0.0, 1 / 0.75]


def test_the_type_is_kept():
    assert drawn(0.2, dtype=torch.bfloat16).dtype == torch.bfloat16

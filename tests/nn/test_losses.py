import pytest
import torch

from mmq.nn import losses


def test_squared_error_sums_features_and_averages_items():
    prediction = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    target = torch.tensor([[0.0, 0.0], [0.0, 3.0]])
    assert losses.squared_error(prediction, target).item() == pytest.approx((1 + 4 + 9) / 2)


def test_squared_error_leaves_masked_parts_out():
    prediction, target = torch.ones(2, 2), torch.zeros(2, 2)
    weight = torch.tensor([[1.0], [0.0]])
    assert losses.squared_error(prediction, target, weight).item() == pytest.approx(2 / 2)


def test_orthogonality_against_a_loop():
    rows = torch.randn(3, 5)
    unit = rows / rows.norm(dim=1, keepdim=True)
    expected = sum(
        (unit[i] @ unit[j] - (1.0 if i == j else 0.0)).item() ** 2
        for i in range(3)
        for j in range(3)
    )
    assert losses.orthogonality(rows).item() == pytest.approx(expected, abs=1e-6)
    assert losses.orthogonality(torch.eye(3, 5) * 7).item() == pytest.approx(0, abs=1e-6)


def test_output_orthogonality_tells_a_copy_from_an_independent_expert():
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(2000, 1, 3, generator=generator)
    other = torch.randn(2000, 1, 3, generator=generator)
    copy = losses.output_orthogonality(torch.cat([one, one], dim=1)).item()
    apart = losses.output_orthogonality(torch.cat([one, other], dim=1)).item()
    assert copy == pytest.approx(2.0, abs=0.05)  # each of two pairs: three unit correlations / 3
    assert apart < 0.05

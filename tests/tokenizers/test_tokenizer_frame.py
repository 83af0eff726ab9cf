import numpy as np
import pytest
import torch

from mmq.tokenizers._frame import WIDEST, Frame, leading_axes

WIDTHS = {"text": 6, "image": 4}


def unit(x):
    return torch.nn.functional.normalize(x, dim=1)


def case(items=80, seed=0, missing=0.0):
    """Unit embeddings in a cone, skewed so that no axis has two signs as good."""
    rng = np.random.default_rng(seed)
    parts = []
    for width in WIDTHS.values():
        rows = rng.exponential(size=(items, width)) * 0.7 ** np.arange(width) + 2.0
        parts.append(unit(torch.from_numpy(rows.astype("f4"))))
    present = torch.ones(items, 2)
    present[:, 1] = torch.from_numpy((rng.random(items) >= missing).astype("f4"))
    parts[1] = parts[1] * present[:, 1:]
    return torch.cat(parts, 1), present


def test_there_and_back():
    x, present = case()
    frame = Frame.fit(WIDTHS, x, present)
    y, left = frame.apply_to(x, present)
    torch.testing.assert_close(frame.restore(y), x, atol=1e-5, rtol=0)
    assert not left.any()


def test_coordinates_are_centred_uncorrelated_and_of_variance_one():
    x, present = case()
    y, _ = Frame.fit(WIDTHS, x, present).apply_to(x, present)
    for part in y.split(list(WIDTHS.values()), 1):
        torch.testing.assert_close(part.mean(0), torch.zeros(part.shape[1]), atol=1e-5, rtol=0)
        covariance = part.T @ part / len(part)
        assert float(covariance.trace()) == pytest.approx(1, abs=1e-4)
        diagonal = covariance.diagonal()
        torch.testing.assert_close(covariance, diagonal.diag(), atol=1e-4, rtol=0)
        assert (diagonal.diff() <= 1e-6).all()
        assert (part.double().pow(3).sum(0) > -1e-6).all()


def test_what_is_missing_has_no_say_and_stays_zero():
    x, present = case(missing=0.4)
    frame = Frame.fit(WIDTHS, x, present)
    loud = torch.where(present.repeat_interleave(torch.tensor([6, 4]), 1) > 0, x, 9.0)
    other = Frame.fit(WIDTHS, loud, present)
    assert all(
        torch.equal(one, two) for one, two in zip(frame.buffers(), other.buffers(), strict=True)
    )
    for rows in (x, loud):
        y, left = frame.apply_to(rows, present)
        assert not y[present[:, 1] == 0, 6:].any()
        assert not left[present[:, 1] == 0].any()
    alone = Frame.fit(
        {"image": 4}, x[present[:, 1] > 0][:, 6:], torch.ones(int(present[:, 1].sum()), 1)
    )
    torch.testing.assert_close(frame.axes(1), alone.axes(0))


def test_a_rotation_and_a_shared_direction_change_no_coordinate():
    """Both after the unit norm, where they are exact."""
    x, present = case()
    turn = [
        torch.from_numpy(np.linalg.qr(np.random.default_rng(w).normal(size=(w, w)))[0].astype("f4"))
        for w in WIDTHS.values()
    ]
    moved = torch.block_diag(*turn)
    y, _ = Frame.fit(WIDTHS, x, present).apply_to(x, present)
    for other in (x @ moved, x + 0.5, 3.0 * x):
        again, _ = Frame.fit(WIDTHS, other, present).apply_to(other, present)
        torch.testing.assert_close(again, y, atol=2e-3, rtol=0)


def test_a_constant_modality_stands_at_the_origin():
    x, present = case()
    x[:, 6:] = x[0, 6:]
    frame = Frame.fit(WIDTHS, x, present)
    y, left = frame.apply_to(x, present)
    assert y[:, 6:].abs().max() < 1e-6
    assert left.abs().max() < 1e-9
    torch.testing.assert_close(frame.restore(torch.zeros_like(y))[:, 6:], x[:, 6:])


def test_few_items_span_few_axes():
    x = unit(torch.from_numpy(np.random.default_rng(0).normal(size=(5, 20)).astype("f4")))
    frame = Frame.fit({"text": 20}, x, torch.ones(5, 1))
    assert frame.kept == {"text": 5}
    y, left = frame.apply_to(x, torch.ones(5, 1))
    assert left.max() < 1e-5
    torch.testing.assert_close(frame.restore(y), x, atol=1e-5, rtol=0)
    new = unit(torch.ones(1, 20))  # another direction: what lies off the axes is told
    y, left = frame.apply_to(new, torch.ones(1, 1))
    gap = (frame.restore(y) - new).square().sum()
    assert float(left[0, 0] * frame.scales[0] ** 2) == pytest.approx(float(gap), rel=1e-3)


def test_a_single_item():
    x = unit(torch.ones(1, 3))
    frame = Frame.fit({"text": 3}, x, torch.ones(1, 1))
    y, _ = frame.apply_to(x, torch.ones(1, 1))
    assert torch.isfinite(y).all()
    torch.testing.assert_close(frame.restore(y), x)


@pytest.mark.parametrize(("items", "width"), [(1500, 1200), (1500, 300), (400, 1200)])
def test_axes_explain_what_those_of_eigh_explain(items, width):
    """By subspace iteration, by the covariance, by the products of the items."""
    rng = np.random.default_rng(0)
    spectrum = 1 / np.sqrt(1 + np.arange(width))  # a slow decay, as real embeddings have it
    turn = np.linalg.qr(rng.normal(size=(width, width)))[0]
    rows = (rng.exponential(size=(items, width)) * spectrum) @ turn.T
    rows -= rows.mean(0)
    kept = min(width, WIDEST)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    axes = leading_axes(torch.from_numpy(rows.astype("f4")), kept).numpy().astype("f8")
    np.testing.assert_allclose(axes.T @ axes, np.eye(kept), atol=1e-4)
    explained = np.square(rows @ axes).sum()
    assert values[-kept:].sum() * 1.0001 > explained > 0.995 * values[-kept:].sum()
    cosines = np.abs((axes[:, :5] * vectors[:, ::-1][:, :5]).sum(0))
    assert cosines.min() > 0.999

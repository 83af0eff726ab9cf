import numpy as np
import pytest
import torch

from additive_problems import SCOPES, WIDTHS, problem, table
from mmq.tokenizers._additive import problem as module
from mmq.tokenizers._additive.problem import folds


@pytest.mark.parametrize("smoothing", [0.5, 1.0])
def test_noise_has_the_covariance_of_the_data(smoothing):
    items = problem(20_000)
    noise = (items.disturbed(smoothing, np.random.default_rng(0)) - items.x).numpy()
    for column in items.columns:
        wanted = smoothing**2 * np.cov(items.x[:, column].T, bias=True)
        found = np.cov(noise[:, column].T, bias=True)
        np.testing.assert_allclose(found, wanted, atol=0.04 * np.trace(wanted))
        assert np.abs(noise[:, column].mean(0)).max() < 0.03


def test_what_is_missing_stays_zero_and_disturbs_nobody():
    items = problem(300, missing=0.5)
    moved = items.disturbed(1.0, np.random.default_rng(0))
    absent = items.present[:, 1] == 0
    assert not moved[absent][:, WIDTHS[0] :].any()
    assert (moved[:, : WIDTHS[0]] != items.x[:, : WIDTHS[0]]).any(1).float().mean() > 0.95
    steps = (moved - items.x)[~absent][:, WIDTHS[0] :] * 2**0.5
    own = items.x[~absent][:, WIDTHS[0] :]
    for step in steps[:20]:  # each is the difference of two that have the modality
        gaps = (own[:, None] - own[None] - step).abs().amax(2)
        assert gaps.min() < 1e-4


def test_no_noise_is_the_items_themselves():
    items = problem()
    assert torch.equal(items.disturbed(0.0, np.random.default_rng(0)), items.x)


def test_folds_are_all_items_once():
    parts = list(folds(103, 5, np.random.default_rng(0)))
    assert sorted(torch.cat(parts).tolist()) == list(range(103))
    assert {len(part) for part in parts} == {20, 21}
    again = list(folds(103, 5, np.random.default_rng(0)))
    assert all(torch.equal(one, two) for one, two in zip(parts, again, strict=True))


def test_codes_do_not_depend_on_blocks(monkeypatch):
    items = problem(missing=0.3)
    whole = items.encode(table(), items.x, items.present, None, 2)
    again = items.encode(table(), items.x, items.present, whole, 1)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert torch.equal(items.encode(table(), items.x, items.present, None, 2), whole)
    assert torch.equal(items.encode(table(), items.x, items.present, whole, 1), again)


def test_items_without_a_modality_share_its_codes():
    items = problem(missing=0.3)
    codes = items.encode(table(), items.x, items.present, None, 2)
    assert len(codes[items.present[:, 1] == 0][:, 3].unique()) == 1
    assert len(codes[items.present[:, 1] > 0][:, 3].unique()) > 1


def test_the_error_is_that_of_plain_loops():
    items = problem(60, missing=0.3)
    codes = torch.randint(5, (60, len(SCOPES)), generator=torch.Generator().manual_seed(0))
    left = total = 0.0
    for row in range(60):
        out = sum(table()[n, codes[row, n]] for n in range(len(SCOPES)))
        for m, column in enumerate(items.columns):
            if items.present[row, m]:
                left += float(((items.x[row, column] - out[column]) ** 2).sum())
                total += float((items.x[row, column] ** 2).sum())
    assert items.error(table(), codes) == pytest.approx(left / total, rel=1e-5)
    found = items.encode(table(), items.x, items.present, None, 3)
    assert items.held_error(table(), 3) == items.error(table(), found)
    assert items.held_error(table(), 3) < items.error(table(), codes)

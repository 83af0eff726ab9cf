from itertools import islice

import numpy as np
import pytest
import torch

from additive_problems import SCOPES, SIZE, WIDTHS, problem, table
from mmq.tokenizers._additive import alternate
from mmq.tokenizers._additive.alternate import _recode, blocks, rounds, solve
from mmq.tokenizers._additive.problem import folds

BOTH = pytest.mark.parametrize("dense", [0, alternate.DENSE], ids=["in steps", "directly"])


@BOTH
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_tables_are_the_regression_of_each_modality(dense, missing, monkeypatch):
    """On one-hot codes of its positions, over the items that have it."""
    monkeypatch.setattr(alternate, "DENSE", dense)
    items, penalty = problem(300, missing), 3.0
    codes = torch.randint(SIZE, (300, len(SCOPES)), generator=torch.Generator().manual_seed(0))
    solved = solve(items, codes, penalty, torch.zeros_like(table()))
    for m, column in enumerate(items.columns):
        rows = np.flatnonzero(items.present[:, m])
        positions = np.flatnonzero(SCOPES[:, m])
        hot = np.zeros((len(rows), len(positions) * SIZE))
        for line, row in enumerate(rows):
            for place, n in enumerate(positions):
                hot[line, place * SIZE + int(codes[row, n])] = 1
        gram = hot.T @ hot + penalty * np.eye(hot.shape[1])
        expected = np.linalg.solve(gram, hot.T @ items.x[rows][:, column].numpy())
        found = solved[positions][:, :, column].flatten(0, 1)
        np.testing.assert_allclose(found, expected, atol=1e-3)
        for n in np.flatnonzero(~SCOPES[:, m]):
            assert not solved[n, :, column].any()


def test_modalities_that_all_have_are_solved_together():
    shared = problem()._replace(scopes=np.ones_like(SCOPES))
    assert [block.columns for block in blocks(shared)] == [list(range(sum(WIDTHS)))]
    assert len(blocks(problem(missing=0.4)._replace(scopes=np.ones_like(SCOPES)))) == 2
    assert len(blocks(problem())) == 2


def recoded(items, dense, monkeypatch, noisy=None):
    monkeypatch.setattr(alternate, "DENSE", dense)
    noisy = problem(missing=0.3).x if noisy is None else noisy
    codes = items.encode(table(), noisy, items.present, None, 1)
    start = codes.clone()
    _recode(items, noisy, codes, table(), (2.0, 1), np.random.default_rng(7))
    return start, codes


@BOTH
def test_every_fold_is_coded_by_tables_of_the_others(dense, monkeypatch):
    items = problem(missing=0.3)
    start, codes = recoded(items, dense, monkeypatch)
    count = alternate.FOLDS if dense else alternate._FOLDS_IN_STEPS
    parts = list(folds(120, count, np.random.default_rng(7)))
    for rows in parts:
        rest = torch.tensor(sorted(set(range(120)) - set(rows.tolist())))
        if not dense:  # sums in another order would move the last bits
            rest = torch.cat([part for part in parts if part is not rows])
        own = solve(items.take(rest), start[rest], 2.0, table())
        expected = items.encode(own, items.x[rows], items.present[rows], start[rows], 2)
        assert torch.equal(codes[rows], expected)


@BOTH
def test_codes_do_not_depend_on_the_items_own_targets(dense, monkeypatch):
    """However far the targets of a fold move, its own codes stay and those of others change."""
    plain = problem(missing=0.3)
    count = alternate.FOLDS if dense else alternate._FOLDS_IN_STEPS
    fold = next(iter(folds(120, count, np.random.default_rng(7))))
    x = plain.x.clone()
    x[fold] = 3 * x[fold].flip(0) * (x[fold] != 0)
    before, after = (
        recoded(items, dense, monkeypatch)[1] for items in (plain, plain._replace(x=x))
    )
    assert torch.equal(before[fold], after[fold])
    rest = torch.ones(120, dtype=torch.bool)
    rest[fold] = False
    assert (before[rest] != after[rest]).any()


def test_all_copies_of_an_item_are_in_one_fold(monkeypatch):
    """Else a table would have seen the item, disturbed otherwise."""
    seen = []
    plain = alternate.Problem.encode

    def encode(self, own, x, present, codes, sweeps):
        seen.append(x)
        return plain(self, own, x, present, codes, sweeps)

    items = problem(20)
    noisy = torch.arange(60.0)[:, None].expand(60, sum(WIDTHS)) % 20  # the item's number
    many = items._replace(x=items.x.repeat(3, 1), present=items.present.repeat(3, 1))
    codes = many.encode(table(), noisy.contiguous(), many.present, None, 1)
    monkeypatch.setattr(alternate.Problem, "encode", encode)
    _recode(many, noisy, codes, table(), (6.0, 3), np.random.default_rng(0))
    assert len(seen) == alternate.FOLDS
    for x in seen:
        _, counts = x[:, 0].unique(return_counts=True)
        assert (counts == 3).all()


@pytest.mark.parametrize(("smoothing", "copies"), [(0.0, 1), (0.5, 3)])
def test_the_average_is_that_of_the_start_and_all_rounds(smoothing, copies):
    run = rounds(problem(), table(), smoothing, copies, 1.0, np.random.default_rng(0))
    found = list(islice(run, 4))
    for count in range(1, 5):
        mean = torch.stack([table(), *(each.last for each in found[:count])]).mean(0)
        torch.testing.assert_close(found[count - 1].mean, mean, atol=1e-5, rtol=1e-5)


def test_rounds_lower_the_error_of_new_items():
    learn, new = problem(600).take(torch.arange(300)), problem(600).take(torch.arange(300, 600))
    start = table()
    errors = [new.held_error(start, 3)]
    run = rounds(learn, start, 0.25, 2, 1.0, np.random.default_rng(0))
    errors.extend(new.held_error(each.last, 3) for each in islice(run, 3))
    assert errors[1] < 0.5 * errors[0]
    assert errors[3] <= 1.05 * errors[1]

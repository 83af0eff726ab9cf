from functools import partial

import numpy as np
import pytest
import torch

from additive_problems import SCOPES, problem, table
from mmq.tokenizers._additive.choice import Plan, Trials, copies_of, parts
from mmq.tokenizers._additive.start import layouts, residual_start

PLANS = [
    Plan("given", SCOPES, lambda *_: table()),
    Plan("residuals", SCOPES, partial(residual_start, layouts(SCOPES)["joint"])),
]


def chosen(seed=0, smoothings=(0.0, 0.5, 1.0), items=None):
    trials = Trials(items or problem(300), PLANS, 2, seed)
    return trials.choose(smoothings, lambda *_, **__: None), trials


def test_parts_are_all_items_once_and_depend_on_the_seed():
    learn, held = parts(205, 3)
    assert sorted([*learn.tolist(), *held.tolist()]) == list(range(205))
    assert len(held) == 20
    assert torch.equal(parts(205, 3)[1], held)
    assert not torch.equal(parts(205, 4)[1], held)
    assert len(parts(3, 0)[1]) == 1


@pytest.mark.parametrize(("items", "expected"), [(100, 8), (20_000, 2), (10**6, 1)])
def test_few_items_are_disturbed_often(items, expected):
    assert copies_of(items, 0.5) == expected
    assert copies_of(items, 0.0) == 1


def test_the_choice_is_about_the_best_that_was_tried():
    found, trials = chosen()
    least = min(trial.error for trial in trials.done)
    own = [trial.error for trial in trials.done if trial.choice == found]
    assert own
    assert min(own) <= 1.02 * least
    assert found.plan in {plan.name for plan in PLANS}
    assert {trial.choice.plan for trial in trials.done} == {plan.name for plan in PLANS}


def test_a_seed_decides_all():
    (one, first), (two, second) = chosen(), chosen()
    assert one == two
    assert [t.error for t in first.done] == [t.error for t in second.done]
    _, other = chosen(seed=1)
    assert [t.error for t in other.done] != [t.error for t in first.done]


def test_validation_items_are_not_learned_from():
    """Whatever they are, the tables that they judge are the same."""
    items = problem(300)
    held = parts(300, 0)[1]
    x = items.x.clone()
    x[held] = 5.0
    seen = [Trials(each, PLANS, 2, 0).inner.x for each in (items, items._replace(x=x))]
    assert torch.equal(seen[0], seen[1])


def test_a_given_noise_is_kept():
    found, trials = chosen(smoothings=(0.25,))
    assert {trial.choice.smoothing for trial in trials.done} == {found.smoothing} == {0.25}


def test_lines_of_the_log_are_plain_values():
    _, trials = chosen()
    for trial in trials.done:
        line = trial.line()
        assert line["validation_fvu"] == trial.error
        assert np.isfinite(trial.error)
        assert line["plan"] == trial.choice.plan

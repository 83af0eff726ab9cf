import numpy as np
import pytest
import torch

from additive_problems import SCOPES, SIZE, WIDTHS, problem
from mmq.tokenizers._additive.start import Effort, layouts, product_start, residual_start

CLEAN = Effort(0.0, 1, 10)
LAYOUTS = layouts(SCOPES)


def test_layouts_take_modalities_together_or_in_turn():
    assert LAYOUTS == {
        "joint": ((0, 1), (0, 1), (0,), (1,)),
        "separate": ((0,), (1,), (0,), (1,)),
    }
    assert list(layouts(np.array([[True, False], [False, True]]))) == ["joint"]


@pytest.mark.parametrize("start", [residual_start, product_start])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("effort", [CLEAN, Effort(0.5, 3, 10)], ids=["clean", "disturbed"])
def test_every_start_is_better_than_the_mean_and_keeps_to_its_layout(start, name, missing, effort):
    items = problem(300, missing)
    table = start(LAYOUTS[name], items, effort, np.random.default_rng(0))
    assert torch.isfinite(table).all()
    for n, modalities in enumerate(LAYOUTS[name]):
        for m, column in enumerate(items.columns):
            assert bool(table[n, :, column].any()) == (m in modalities)
    assert items.held_error(table, 1) < 0.6
    again = start(LAYOUTS[name], items, effort, np.random.default_rng(0))
    assert torch.equal(table, again)


@pytest.mark.parametrize("start", [residual_start, product_start])
def test_fewer_items_than_codes_have_the_modality(start):
    items = problem(60)
    present = items.present.clone()
    present[3:, 1] = 0
    x = items.x.clone()
    x[3:, WIDTHS[0] :] = 0
    rare = items._replace(x=x, present=present)
    for layout in LAYOUTS.values():
        table = start(layout, rare, CLEAN, np.random.default_rng(0))
        assert torch.isfinite(table).all()
        assert rare.held_error(table, 1) < 1


def test_codewords_are_means_of_the_members_that_have_the_modality():
    """Tight clusters: the first codewords stand at their centres, whoever lacks a picture."""
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(SIZE, sum(WIDTHS)))
    x = torch.from_numpy(np.repeat(centres, 20, axis=0).astype("f4"))
    x -= x.mean(0)
    present = torch.ones(len(x), 2)
    present[::2, 1] = 0
    seen = present.repeat_interleave(torch.tensor(WIDTHS), 1)
    made = problem()._replace(x=x * seen, present=present)
    with_picture = made.take(torch.nonzero(present[:, 1]).flatten())
    table = residual_start(LAYOUTS["joint"], with_picture, CLEAN, np.random.default_rng(0))
    assert gap(with_picture.x, table[0]) < 1e-3
    alone = residual_start(LAYOUTS["separate"], made, CLEAN, np.random.default_rng(0))
    assert gap(with_picture.x[:, WIDTHS[0] :], alone[1][:, WIDTHS[0] :]) < 1e-3


def gap(points, codewords):
    """How far a point is from the nearest codeword at most."""
    return float((points[:, None] - codewords[None]).square().sum(2).amin(1).max())

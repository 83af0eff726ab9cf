"""A small problem: two modalities, two shared positions, one of each modality."""

import numpy as np
import torch

from mmq.tokenizers._additive.problem import Problem

WIDTHS = (4, 3)
SCOPES = np.array([[True, True], [True, True], [True, False], [False, True]])
SIZE = 5


def problem(items=120, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    both = rng.normal(size=(6, sum(WIDTHS)))[rng.integers(6, size=items)]
    x = torch.from_numpy((both + 0.5 * rng.normal(size=both.shape)).astype("f4"))
    x -= x.mean(0)
    present = torch.ones(items, 2)
    present[:, 1] = torch.from_numpy((rng.random(items) >= missing).astype("f4"))
    x[:, WIDTHS[0] :] *= present[:, 1:]
    return Problem(x, present, WIDTHS, SCOPES, SIZE)


def table(seed=0):
    """Any table that keeps to the scopes."""
    made = torch.randn(
        len(SCOPES), SIZE, sum(WIDTHS), generator=torch.Generator().manual_seed(seed)
    )
    return made * torch.from_numpy(SCOPES).repeat_interleave(torch.tensor(WIDTHS), 1)[:, None]

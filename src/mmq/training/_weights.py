"""The weights of a network as the named arrays that files hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmq._formats import check_tensors


def to_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """Parameters and buffers by name; see :func:`load_arrays`."""
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def load_arrays(network: nn.Module, tensors: Mapping[str, np.ndarray], folder: str | Path) -> None:
    """Give a network the arrays that :func:`to_arrays` made of one of the same shape.

    Raises:
        FormatError: one is missing, extra or misshapen; ``folder`` is where they were read.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_tensors(tensors, expected, folder)
    network.load_state_dict(
        {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
    )

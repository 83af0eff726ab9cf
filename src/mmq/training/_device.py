"""Where tensors live."""

from __future__ import annotations

import torch

from mmq.errors import SettingsError


def pick_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` stands for.

    Raises:
        SettingsError: another name, or ``cuda`` where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise SettingsError(f"--device {name!r} is not known; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("--device cuda: no CUDA device can be used here; choose auto or cpu")
    return torch.device(name)

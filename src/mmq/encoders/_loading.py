"""What loading a pretrained model has in common: its device, its silence, its errors."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmq.errors import DataError, MissingExtraError, SettingsError

if TYPE_CHECKING:
    import torch

FORWARD_CPU = 16
"""Inputs of one forward pass on a CPU; larger passes fall out of its caches and are slower."""


def forward_size(device: torch.device, batch: int) -> int:
    """Inputs to send through a model at once, of a batch of so many."""
    return FORWARD_CPU if device.type == "cpu" else max(batch, 1)


@contextlib.contextmanager
def loading(name: str, kind: str) -> Iterator[None]:
    """Load a model inside: nothing is printed, and every failure is one sentence.

    Args:
        name: a name or a folder, as the user gave it.
        kind: ``text`` or ``image``.

    Raises:
        MissingExtraError: a library is not installed.
        DataError: there is no such model, or it cannot be loaded.
    """
    if not Path(name).exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise DataError(f"there is no model folder {name}; check --{kind}-encoder")
    try:
        # Model libraries print to standard output, which belongs to --json.
        with contextlib.redirect_stdout(io.StringIO()), _no_bars():
            yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            error.name or kind, "encoders", f"choose --{kind}-encoder light"
        ) from error
    except SettingsError:
        raise
    except Exception as error:  # each library has a tree of its own, and of the hub's
        raise DataError(_sentence(name, kind, error)) from error


def _sentence(name: str, kind: str, error: Exception) -> str:
    packaged = "minilm" if kind == "text" else "effnet-lite0"
    others = f"give the folder of a saved model, {packaged} or light"
    if Path(name).is_dir():
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return f"the folder {name} cannot be loaded as the {kind} encoder ({reason[0]}); {others}"
    offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE")
    why = "HF_HUB_OFFLINE is set" if offline else "it could not be downloaded"
    return f"the {kind} encoder '{name}' was not found on this machine and {why}; {others}"


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Hide the weight-loading bars of transformers for a while."""
    from transformers import utils

    logging: Any = utils.logging  # its functions have no types
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()

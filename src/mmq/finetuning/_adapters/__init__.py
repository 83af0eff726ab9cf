"""Models that can be fine-tuned, by their kind: a new one is its own file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmq.errors import SettingsError
from mmq.finetuning._adapters.base import Adapter
from mmq.finetuning._adapters.heterrec import HeterRecAdapter
from mmq.finetuning._adapters.ppnet import PPNetAdapter
from mmq.model import kinds

ADAPTERS: dict[str, Callable[[Any], Adapter]] = {
    "heterrec": HeterRecAdapter,
    "ppnet": PPNetAdapter,
}


def adapter_of(model: Any) -> Adapter:
    """The adapter of a model's kind.

    Raises:
        SettingsError: there is none; the sentence names the kinds of its family that have one.
    """
    if model.kind not in ADAPTERS:
        alike = [kind for kind in kinds(model.folder_format.family) if kind in ADAPTERS]
        raise SettingsError(
            f"{model.kind} models cannot be fine-tuned; give a {' or '.join(alike)} model"
        )
    return ADAPTERS[model.kind](model)


__all__ = ["ADAPTERS", "Adapter", "adapter_of"]

"""How a verb is run."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from mmq._artifacts import output_lock
from mmq.errors import SettingsError
from mmq.model import model_class
from mmq.settings import Settings
from mmq.training._distributed import process_number
from mmq.training._watching import tensorboard

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Run:
    """How a verb does its work.

    Attributes:
        seed: of everything random; None leaves it to the settings.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        resume: go on from where a killed run of the same call stopped.
        force: replace what stands at ``out`` although other inputs made it.
        log_dir: folder for TensorBoard's files, of what is trained over epochs.
    """

    seed: int | None = None
    device: str = "auto"
    resume: bool = False
    force: bool = False
    log_dir: str | Path | None = None

    def logged(self) -> contextlib.AbstractContextManager[None]:
        """What is trained inside is logged for TensorBoard, if that was asked for.

        Raises:
            DataError: the extra ``tracking`` is not installed, or ``log_dir`` is a file.
        """
        return contextlib.nullcontext() if self.log_dir is None else tensorboard(self.log_dir)

    def parse(self, settings: type[S], values: Mapping[str, Any] | None) -> S:
        """Settings of these values, and of the seed where they have one.

        Raises:
            SettingsError: an unknown name, or a value out of range.
        """
        values = dict(values or {})
        if self.seed is not None and "seed" in settings.model_fields:
            values["seed"] = self.seed
        return settings.parse(values)

    def make(self, family: str, kind: str, values: Mapping[str, Any] | None) -> Any:
        """A model of a kind that has learned nothing yet.

        Raises:
            SettingsError: an unknown kind or setting, or a value out of range.
        """
        maker = model_class(family, kind)
        return maker(self.parse(maker.settings_class, values), device=self.device)


def locks_out(workflow: Callable[P, T]) -> Callable[P, T]:
    """A workflow that holds the lock of its ``out``, so that a second process is refused at once.

    The processes of one ``torchrun`` work on one output: the first holds it for all.
    """
    signature = inspect.signature(workflow)

    @functools.wraps(workflow)
    def alone(*args: P.args, **options: P.kwargs) -> T:
        out = signature.bind(*args, **options).arguments["out"]
        if process_number():
            return workflow(*args, **options)
        with output_lock(out):
            return workflow(*args, **options)

    return alone


def refuse(given: Mapping[str, bool], why: str) -> None:
    """Raise :class:`~mmq.errors.SettingsError` for the first option that is given.

    Args:
        given: option -> whether it is.
        why: the rest of the sentence after its name.
    """
    for option in (name for name, there in given.items() if there):
        raise SettingsError(f"{option} {why}")

"""Who is told of every epoch while something is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from mmq._artifacts import check_writable
from mmq.errors import DataError

Watch = Callable[[Mapping[str, float]], None]
"""Called with the figures of an epoch: ``epoch``, counted from 1, losses, and what is validated."""

_watching: ContextVar[tuple[Watch, ...]] = ContextVar("watching", default=())


@contextlib.contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Call ``watch`` after every epoch of what is trained inside, with the figures of the epoch.

    An exception that it raises ends the training. Of several processes the first one calls it.

    >>> from mmq import RQVAETokenizer
    >>> from mmq.testing import tiny_catalogue
    >>> epochs = []
    >>> with watching(lambda figures: epochs.append(figures["epoch"])):
    ...     _ = RQVAETokenizer(codebook_size=4, epochs=2).fit(tiny_catalogue(50))
    >>> epochs
    [1, 2]
    """
    before = _watching.set((*_watching.get(), watch))
    try:
        yield
    finally:
        _watching.reset(before)


def tell(figures: Mapping[str, float]) -> None:
    """Call everybody who watches."""
    for watch in _watching.get():
        watch(dict(figures))


@contextlib.contextmanager
def tensorboard(folder: str | Path) -> Iterator[None]:
    """Write the figures of every epoch of what is trained inside for TensorBoard.

    Args:
        folder: of the event files; it may hold those of other trainings.

    Raises:
        DataError: the extra ``tracking`` is not installed, or the path is a file.
    """
    if Path(folder).is_file():
        raise DataError(f"--log-dir {folder} is a file; give a folder")
    check_writable(Path(folder) / "events")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DataError(
            "TensorBoard is not installed; run: pip install 'mmq-tokenizer[tracking]'"
        ) from None
    with SummaryWriter(str(folder)) as writer:

        def write(figures: Mapping[str, float]) -> None:
            for name, value in figures.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(figures["epoch"]))

        with watching(write):
            yield

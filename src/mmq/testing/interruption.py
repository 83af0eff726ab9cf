"""What the suites share: an interrupted or killed training, and an expected error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmq.formats import write_tensors

_SLOWED = """
import sys, time
import mmq.training.loop as loop
loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0
plain = loop.Training.run_epoch
def slow(self, generator, advance):
    if self.epoch:
        time.sleep(0.3)
    return plain(self, generator, advance)
loop.Training.run_epoch = slow
from mmq.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The command line, whose trainings store every epoch and pause before all but the first."""


def kill_at(checkpoint: Path, arguments: Iterable[Any]) -> None:
    """Run a verb in a process of its own, and ``kill -9`` it as soon as there is a checkpoint."""
    child = subprocess.Popen([sys.executable, "-c", _SLOWED, *map(str, arguments)])
    deadline = time.monotonic() + 60
    while not checkpoint.exists():
        assert child.poll() is None, "the command ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def kill_after(writes: int, monkeypatch: Any) -> None:
    """Interrupt the training when it has written so many checkpoints."""
    left = iter(range(writes - 1))

    def write(*arguments: Any) -> None:
        write_tensors(*arguments)
        if next(left, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("mmq.training.loop.write_tensors", write)


def raises(error: type[Exception], match: str) -> Any:
    """``pytest.raises``, for suites that are no test modules themselves."""
    import pytest  # here, so that this module can be read without it

    return pytest.raises(error, match=match)

"""What the suites share: an interrupted training, and an expected error."""

from __future__ import annotations

from typing import Any

from mmq._formats import write_tensors


def kill_after(writes: int, monkeypatch: Any) -> None:
    """Interrupt the training when it has written so many checkpoints."""
    left = iter(range(writes - 1))

    def write(*arguments: Any) -> None:
        write_tensors(*arguments)
        if next(left, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("mmq.training._loop.write_tensors", write)


def raises(error: type[Exception], match: str) -> Any:
    """``pytest.raises``, for suites that are no test modules themselves."""
    import pytest  # here, so that this module can be read without it

    return pytest.raises(error, match=match)

"""Work beside the model's, one piece at a time, with a bound on how much waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mmq.serve._problems import crowded, overdue

T = TypeVar("T")


class Lane:
    """Threads that take calls in turn.

    Args:
        threads: how many.
        queue: calls that may wait or run; more are told to come again (429).
        timeout_s: longest time of a call.
    """

    def __init__(self, threads: int, queue: int, timeout_s: float) -> None:
        self._pool = ThreadPoolExecutor(threads, "lane")
        self._queue, self._timeout_s, self._waiting = queue, timeout_s, 0

    async def run(self, call: Callable[[], T]) -> T:
        """What a call gives.

        Raises:
            ServiceError: too many wait already (429), or it takes too long (504).
        """
        if self._waiting >= self._queue:
            raise crowded()
        self._waiting += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, call)
            return await asyncio.wait_for(future, self._timeout_s)
        except TimeoutError:
            raise overdue() from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End; what runs is finished."""
        self._pool.shutdown(cancel_futures=True)

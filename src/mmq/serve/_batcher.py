"""Requests that come at the same time are answered together, by one thread that runs the model."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from mmq.release import ReleaseName
from mmq.serve._metrics import Metrics
from mmq.serve._problems import crowded, overdue
from mmq.serve._settings import ServeSettings

Q = TypeVar("Q")
A = TypeVar("A")


class Answered(NamedTuple, Generic[A]):
    """Answers, all of one release."""

    release: ReleaseName
    answers: Sequence[A | Exception]


@dataclass
class _Request(Generic[Q, A]):
    """What one request asks, and where its answers go."""

    questions: Sequence[Q]
    answered: asyncio.Future[Answered[A]]


class Batcher(Generic[Q, A]):
    """Collects questions and hands them to a function a batch at a time.

    While a batch is answered others gather, so that the batch grows with the load; a request that
    comes alone does not wait. After a batch of several it waits ``max_wait_ms`` for as many again.

    Args:
        answer: questions -> answers of one release; runs in a thread of its own.
        settings: bounds.
        metrics: figures.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Answered[A]],
        settings: ServeSettings,
        metrics: Metrics,
    ) -> None:
        self._answer, self._settings, self._metrics = answer, settings, metrics
        self._requests: deque[_Request[Q, A]] = deque()
        self._arrived = asyncio.Event()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, "model")
        self._loop = asyncio.create_task(self._run())

    async def ask(self, questions: Sequence[Q]) -> Answered[A]:
        """Answers to some questions, in their order.

        Raises:
            ServiceError: too many wait already (429), or it takes too long (504).
        """
        if self._waiting + len(questions) > self._settings.queue:
            raise crowded()
        request = _Request[Q, A](questions, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._count(len(questions))
        self._arrived.set()
        try:
            return await asyncio.wait_for(request.answered, self._settings.timeout_s)
        except TimeoutError:
            raise overdue() from None
        finally:
            self._count(-len(questions))

    async def close(self) -> None:
        """End; what runs is finished."""
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)
        self._thread.shutdown()

    def _count(self, questions: int) -> None:
        self._waiting += questions
        self._metrics.waiting.set(self._waiting)

    async def _run(self) -> None:
        expected = 1
        while True:
            batch = await self._gather(expected)
            questions = [question for request in batch for question in request.questions]
            expected = len(batch)
            if questions:
                self._metrics.users.observe(len(questions))
                await self._settle(batch, questions)

    async def _gather(self, expected: int) -> list[_Request[Q, A]]:
        """The next requests, of at most ``max_batch`` questions (or one of more)."""
        batch: list[_Request[Q, A]] = []
        size, loop = 0, asyncio.get_running_loop()
        latest = None
        while True:
            while self._requests and self._fits(size):
                request = self._requests.popleft()
                if not request.answered.done():  # nobody waits for one that was given up
                    batch.append(request)
                    size += len(request.questions)
            if len(batch) >= max(1, expected) or self._requests:
                return batch
            if batch and latest is None:
                latest = loop.time() + self._settings.max_wait_ms / 1000
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), latest and latest - loop.time())
            except TimeoutError:
                return batch

    def _fits(self, size: int) -> bool:
        return not size or size + len(self._requests[0].questions) <= self._settings.max_batch

    async def _settle(self, batch: Sequence[_Request[Q, A]], questions: Sequence[Q]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answered = await loop.run_in_executor(self._thread, self._answer, questions)
        except Exception as error:
            for request in batch:
                if not request.answered.done():
                    request.answered.set_exception(error)
            return
        place = 0
        for request in batch:
            part = answered.answers[place : place + len(request.questions)]
            place += len(request.questions)
            if not request.answered.done():
                request.answered.set_result(Answered(answered.release, part))

"""All that answers, made when a service starts and closed when it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from fastapi import Request

from mmq.release import Release
from mmq.serve._batcher import Answered, Batcher
from mmq.serve._events import EventStore
from mmq.serve._lane import Lane
from mmq.serve._metrics import Metrics
from mmq.serve._recommending import Answer, Question, recommend
from mmq.serve._settings import ServeSettings
from mmq.serve._swap import Swap

T = TypeVar("T")
_DATABASE_THREADS = 4


@dataclass
class Service:
    """What routes work with.

    Attributes:
        settings: bounds.
        metrics: figures.
        swap: the active release.
        batcher: recommendations, by the thread of the model.
        lane: all other work on a release.
        events: what users did.
        database: calls of ``events``.
        draining: whether it is about to end.
    """

    settings: ServeSettings
    metrics: Metrics
    swap: Swap
    batcher: Batcher[Question, Answer]
    lane: Lane
    events: EventStore
    database: Lane
    draining: bool = False

    async def beside(self, call: Callable[[Release], T]) -> tuple[Release, T]:
        """What a call gives of the active release, and that release."""
        release = self.swap.active
        return release, await self.lane.run(partial(call, release))


@contextlib.asynccontextmanager
async def running(
    settings: ServeSettings, metrics: Metrics, swap: Swap, events: EventStore
) -> AsyncIterator[Service]:
    """A service that answers until this ends.

    Args:
        settings: bounds.
        metrics: figures.
        swap: with a release that is active.
        events: what users did.
    """
    torch.set_num_threads(settings.resolved_threads)

    def answer(questions: Sequence[Question]) -> Answered[Answer]:
        return recommend(swap.active, questions)  # read once: a batch is of one release

    service = Service(
        settings,
        metrics,
        swap,
        Batcher(answer, settings, metrics),
        Lane(1, settings.queue, settings.timeout_s),
        events,
        Lane(_DATABASE_THREADS, settings.queue, settings.timeout_s),
    )
    following = asyncio.create_task(swap.follow())
    try:
        yield service
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await service.batcher.close()
        for each in (service.lane, service.database, swap, events):
            each.close()


def service_of(request: Request) -> Service:
    """The service of the application that a request came to."""
    service: Any = request.app.state.service
    assert isinstance(service, Service), "the application has not started"
    return service

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from mmq.release import ReleaseName
from mmq.serve import ServeSettings
from mmq.serve._batcher import Answered, Batcher
from mmq.serve._metrics import Metrics
from mmq.serve._problems import ServiceError

NAME = ReleaseName("r", "f")


def run(test, answer, **settings) -> None:
    async def started() -> None:
        batcher = Batcher(answer, ServeSettings(releases="x", **settings), Metrics())
        try:
            await test(batcher)
        finally:
            await batcher.close()

    asyncio.run(started())


def doubling(sizes: list[int], wait: float = 0.0):
    def answer(questions):
        sizes.append(len(questions))
        time.sleep(wait)
        return Answered(NAME, [2 * each for each in questions])

    return answer


def test_requests_that_come_together_are_answered_together() -> None:
    sizes: list[int] = []

    async def test(batcher) -> None:
        found = await asyncio.gather(*(batcher.ask([n, n + 1]) for n in range(40)))
        assert [each.answers for each in found] == [[2 * n, 2 * n + 2] for n in range(40)]
        assert found[0].release == NAME

    run(test, doubling(sizes, 0.01), max_batch=16)
    assert sum(sizes) == 80
    assert max(sizes) == 16
    assert len(sizes) <= 7


def test_who_comes_alone_does_not_wait() -> None:
    async def test(batcher) -> None:
        started = time.monotonic()
        await batcher.ask([1])
        await batcher.ask([1])
        assert time.monotonic() - started < 5

    run(test, doubling([]), max_wait_ms=10_000)


def test_the_wait_for_company_is_bounded() -> None:
    async def test(batcher) -> None:
        await asyncio.gather(*(batcher.ask([n]) for n in range(8)))
        await asyncio.wait_for(batcher.ask([1]), 5)

    run(test, doubling([], 0.01), max_wait_ms=20)


def test_a_full_queue_says_come_again() -> None:
    async def test(batcher) -> None:
        waiting = [asyncio.create_task(batcher.ask([n])) for n in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as refused:
            await batcher.ask([9])
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
        await asyncio.gather(*waiting)
        assert (await batcher.ask([5])).answers == [10]

    run(test, doubling([], 0.02), queue=4)


def test_what_takes_too_long_is_given_up_and_not_answered_later() -> None:
    sizes: list[int] = []
    release = threading.Event()

    def answer(questions):
        sizes.append(len(questions))
        release.wait(10)
        return Answered(NAME, questions)

    async def test(batcher) -> None:
        given_up = [asyncio.create_task(batcher.ask([n])) for n in range(3)]
        for each in await asyncio.gather(*given_up, return_exceptions=True):
            assert each.status == 504
        release.set()
        assert (await batcher.ask([7])).answers == [7]

    run(test, answer, timeout_s=0.2)
    assert sum(sizes) <= 4


def test_a_failure_of_the_model_fails_its_batch_alone() -> None:
    def answer(questions):
        if 13 in questions:
            raise ValueError("thirteen")
        return Answered(NAME, questions)

    async def test(batcher) -> None:
        with pytest.raises(ValueError, match="thirteen"):
            await batcher.ask([13])
        assert (await batcher.ask([1])).answers == [1]

    run(test, answer)

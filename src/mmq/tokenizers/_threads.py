"""All cores of the machine, each with work of its own.

Products of a block use one core, as do what comes before and after them, and blocks are done side
by side: then nothing waits for a step that only one core can do, scores of a block stay in the
cache of the core that looks for the largest, and codes do not depend on how many cores there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

T = TypeVar("T")


def in_threads(work: Callable[[T], None], items: Sequence[T], device: torch.device) -> None:
    """Do the work of every item, on as many cores as torch may use; a GPU takes one by one."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        for item in items:
            work(item)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1)) as pool:
            for _ in pool.map(work, items):
                pass
    finally:
        torch.set_num_threads(threads)  # the last number that was set holds for new threads too


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, of which the next is made in a thread while one is worked on."""
    end, rest = object(), iter(items)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, rest, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, rest, end)
            yield item  # type: ignore[misc]  # it is not the end

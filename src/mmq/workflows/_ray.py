"""Parts of a catalogue as tasks of a Ray cluster."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mmq.data._item_ids import ItemIndex
from mmq.errors import DataError, MissingExtraError, UserError
from mmq.tokenizers import Tokenizer
from mmq.workflows._part_task import PartDone, PartTask, run_part


class RayJob(NamedTuple):
    """What all parts have in common.

    Attributes:
        tokenizer: folder of the tokenizer, which all machines can read, as they can the catalogue.
        device: "auto" and "cpu" take a core a part, "cuda" a GPU a part.
        known: ids of the items to leave out.
    """

    tokenizer: Path
    device: str
    known: pa.Array | None

    def run(self, tasks: Sequence[PartTask], advance: Callable[..., None]) -> list[PartDone]:
        """Encode all parts on the cluster that ``RAY_ADDRESS`` names, else on this machine.

        Ray starts the part of a worker that died anew, which is safe, since a part is written
        whole or not at all.

        Raises:
            MissingExtraError: ``ray`` is not installed.
            DataError: workers die over one part again and again.
            UserError: what a part raised, see :func:`run_part`.
        """
        ray = _ray()
        begun = not ray.is_initialized()
        if begun:
            ray.init(include_dashboard=False, configure_logging=False, log_to_driver=False)
        try:
            return self._results(ray, tasks, advance)
        finally:
            if begun:
                ray.shutdown()

    def _results(
        self, ray: Any, tasks: Sequence[PartTask], advance: Callable[..., None]
    ) -> list[PartDone]:
        remote = ray.remote(num_cpus=1, num_gpus=int(self.device == "cuda"))(_run)
        job = ray.put(self._replace(tokenizer=self.tokenizer.absolute()))
        waiting = {remote.remote(job, _absolute(task)): n for n, task in enumerate(tasks)}
        done: dict[int, PartDone] = {}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            number = waiting.pop(ready)
            done[number] = _result(ray, ready, tasks[number])
            advance(done[number].new)
        return [done[number] for number in range(len(tasks))]


def _run(job: RayJob, task: PartTask) -> PartDone:
    """Encode a part in a worker."""
    index = None if job.known is None else ItemIndex(job.known)
    return run_part(task, _loaded(job.tokenizer, job.device), index)


@functools.lru_cache(1)
def _loaded(folder: Path, device: str) -> Tokenizer[Any]:
    """The tokenizer, once a worker."""
    import torch

    torch.set_num_threads(1)  # a part has one core
    tokenizer: Tokenizer[Any] = Tokenizer.load(folder, device)
    return tokenizer


def _result(ray: Any, reference: Any, task: PartTask) -> PartDone:
    errors = ray.exceptions
    try:
        done: PartDone = ray.get(reference)
    except errors.RayTaskError as error:
        if isinstance(error.cause, UserError | MemoryError):
            raise error.cause from None
        raise
    except errors.OutOfMemoryError as error:
        raise DataError(
            f"the worker that encoded {task.name} ran out of memory; give Ray fewer cores a "
            "machine, or cut the catalogue into smaller parts, and run again, which keeps the "
            "parts that are there"
        ) from error
    except (errors.WorkerCrashedError, errors.NodeDiedError, errors.LocalRayletDiedError) as error:
        raise DataError(
            f"workers died again and again over {task.name}; look at Ray's log, and run again, "
            "which keeps the parts that are there"
        ) from error
    return done


def _absolute(task: PartTask) -> PartTask:
    """The task as a worker, which runs in another folder, reads it."""
    return replace(task, source=task.source.absolute(), folder=task.folder.absolute())


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray", "ray", "leave --engine ray out") from error
    return ray

"""Several processes that train one network, as ``torchrun`` starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from mmq.errors import SettingsError


def place() -> tuple[int, int]:
    """The number of this process and how many there are; 0 of 1 where it is alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def is_first() -> bool:
    """Whether this process is the one that writes and prints; always so where it is alone."""
    return place()[0] == 0


def processes() -> int:
    """How many processes ``torchrun`` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("RANK", "0"))


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[bool]:
    """Give :func:`is_first`; between processes of ``torchrun``, gradients can be exchanged inside.

    All of them leave together, so that none removes what another still has to read.

    Args:
        device: a GPU for each process (nccl), or the CPU (gloo).

    Raises:
        SettingsError: there are fewer GPUs than processes.
    """
    if processes() == 1:
        yield True
        return
    if device.type == "cuda":
        _take_gpu(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield is_first()
        dist.barrier()
    finally:
        dist.destroy_process_group()


def summed(tensor: Tensor) -> Tensor:
    """A tensor, into which those of all other processes are added."""
    if place()[1] > 1:
        dist.all_reduce(tensor)
    return tensor


def sum_gradients(parameters: Sequence[nn.Parameter], tables: Sequence[nn.Parameter] = ()) -> None:
    """Sum the gradients of all processes, in one message; what none has a gradient of keeps none.

    An optimiser leaves the latter alone, as it does in a single process.

    Args:
        parameters: of dense gradients.
        tables: of sparse ones; their rows that have a gradient are sent, a message each.
    """
    if place()[1] == 1:
        return
    for table in tables:
        table.grad = _gathered(_rows_of(table))
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    given = gradients[0].new_tensor([each.grad is not None for each in parameters])
    flat = summed(torch.cat([given, *(each.flatten() for each in gradients)]))
    pieces = flat[len(given) :].split([each.numel() for each in gradients])
    for number, (parameter, piece) in enumerate(zip(parameters, pieces, strict=True)):
        if parameter.grad is not None or bool(flat[number]):
            parameter.grad = piece.view_as(parameter)


def _rows_of(table: nn.Parameter) -> Tensor:
    """The sparse gradient of a table, each row once; without one, that of no rows."""
    if table.grad is None:
        nothing = torch.zeros(1, 0, dtype=torch.int64, device=table.device)
        return torch.sparse_coo_tensor(nothing, table.new_zeros(0, *table.shape[1:]), table.shape)
    return table.grad.coalesce()


def _gathered(gradient: Tensor) -> Tensor:
    """The sum of the coalesced gradients of all processes, the same to the bit in each."""
    rows, values = gradient.indices()[0], gradient.values()
    counts = summed(functional.one_hot(rows.new_tensor(place()[0]), place()[1]) * len(rows))
    longest = int(counts.max()) - len(rows)  # every process has to send as much
    rows, values = functional.pad(rows, (0, longest)), functional.pad(values, (0, 0, 0, longest))
    parts = [[torch.empty_like(each) for _ in counts] for each in (rows, values)]
    for part, each in zip(parts, (rows, values), strict=True):
        dist.all_gather(part, each)
    kept = [torch.cat([e[:n] for e, n in zip(p, counts.tolist(), strict=True)]) for p in parts]
    return torch.sparse_coo_tensor(kept[0][None], kept[1], gradient.shape).coalesce()


@torch.no_grad()
def like_the_first(tensors: Iterable[Tensor]) -> None:
    """Give tensors the values of the first process: what others computed may differ in a bit."""
    if place()[1] > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def _take_gpu(number: int) -> None:
    if number >= torch.cuda.device_count():
        raise SettingsError(
            f"process {number + 1} of this machine has no GPU of its own, there are "
            f"{torch.cuda.device_count()}; start as many processes, or choose --device cpu"
        )
    torch.cuda.set_device(number)

"""AdamW under a schedule, and the settings of everything that learns by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmq.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]


class LearningSettings(Settings):
    """Settings of everything that learns by gradient descent over epochs."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of everything random."""
    batch_size: PositiveInt = 256
    """Items (recommenders: windows of histories) a step; they are split evenly, so that no batch
    is a remnant."""
    learning_rate: PositiveFloat = 5e-3
    """Peak rate of AdamW."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """Linear warm-up then a half cosine to zero, or a constant rate."""
    warmup: Share = 0.05
    """Share of the training over which the rate rises."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay of AdamW."""
    epochs: NonNegativeInt | None = None
    """Passes over what is learned from; None for what suits its size."""


def rate(settings: LearningSettings, progress: float) -> float:
    """Factor of the learning rate: linear warm-up, half cosine to (almost) zero."""
    if progress < settings.warmup:
        return 0.04 + 0.96 * progress / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    left = (progress - settings.warmup) / max(1 - settings.warmup, 1e-9)
    return max(1e-4, 0.5 * (1 + math.cos(math.pi * left)))


class Adam:
    """Fused AdamW under the schedule, whose state can be stored by parameter name.

    Parameters of sparse gradients have their moments and weights moved where a step has a gradient
    and nowhere else (torch's SparseAdam), so that a step costs what it reads.

    Args:
        network: what learns; parameters that ask for no gradient are left alone.
        settings: rate, schedule, decay.
        slower: start of a parameter's name -> factor of its learning rate.
        sparse: names of the parameters whose gradients are sparse; they know no weight decay.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: LearningSettings,
        slower: Mapping[str, float] | None = None,
        sparse: Collection[str] = (),
    ) -> None:
        self.network, self.settings = network, settings
        self.parameters = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self.sparse = [name for name in self.parameters if name in sparse]
        peak, decay = settings.learning_rate, settings.weight_decay
        dense = self._groups(slower or {}, self.parameters.keys() - set(sparse))
        tables = self._groups(slower or {}, self.sparse)
        self.optimizers: list[torch.optim.Optimizer] = []
        if dense:
            adam = torch.optim.AdamW(dense, lr=peak, weight_decay=decay, fused=True)
            self.optimizers.append(adam)
        if tables:
            self.optimizers.append(torch.optim.SparseAdam(tables, lr=peak))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    optimizer.state[parameter] = _start(parameter)

    def _groups(self, slower: Mapping[str, float], names: Collection[str]) -> list[dict[str, Any]]:
        """The parameters of these names by the factor of their rate, in the network's order."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            if name in names:
                factors = (each for start, each in slower.items() if name.startswith(start))
                groups.setdefault(next(factors, 1.0), []).append(parameter)
        return [{"params": group, "factor": factor} for factor, group in groups.items()]

    def step(
        self,
        loss: Tensor,
        progress: float,
        share: Callable[[list[nn.Parameter], list[nn.Parameter]], None] = lambda dense, sparse: (
            None
        ),
    ) -> None:
        """One step down the gradient of ``loss``, at a share of the training.

        Args:
            loss: a scalar.
            progress: share of the training that is done.
            share: lets other processes add their gradients, dense and sparse ones, before the
                step is made.
        """
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                peak = self.settings.learning_rate * group["factor"]
                group["lr"] = peak * rate(self.settings, progress)
            optimizer.zero_grad()
        if loss.requires_grad:  # a process without a share of the batch has no graph
            loss.backward()
        if share is not None:
            dense = [each for name, each in self.parameters.items() if name not in self.sparse]
            share(dense, [self.parameters[name] for name in self.sparse])
        for optimizer in self.optimizers:
            optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Weights and moments by name."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for name, parameter in self.parameters.items():
            for key, value in self._moments(parameter).items():
                tensors[f"optimizer.{name}.{key}"] = value
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        self.network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
        for name, parameter in self.parameters.items():
            moments = self._moments(parameter)
            for key in moments:
                moments[key] = tensors[f"optimizer.{name}.{key}"]

    def _moments(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """What is remembered of a parameter's gradients; changed in place."""
        return next(each.state[parameter] for each in self.optimizers if parameter in each.state)


def _start(parameter: nn.Parameter) -> dict[str, Tensor]:
    """Moments before the first step, made at once so that a checkpoint can fill them."""
    return {
        "step": torch.tensor(0.0, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }

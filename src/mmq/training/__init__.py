"""How networks learn: the loop, early stopping, several processes, checkpoints."""

from mmq.training._loop import Trained
from mmq.training._watching import Watch, tensorboard, watching

__all__ = [
    "Trained",
    "Watch",
    "tensorboard",
    "watching",
]

"""How networks learn: the loop, early stopping, several processes, checkpoints."""

from mmq.training.watching import Watch, tensorboard, watching

__all__ = ["Watch", "tensorboard", "watching"]

"""How networks learn: the loop, early stopping, several processes, checkpoints."""

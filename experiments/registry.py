"""All experiments, by the name of their results file."""

from __future__ import annotations

from experiments import (
    finetuning,
    new_items,
    quantisers,
    ranking,
    retrieval,
    sampled_loss,
    ties,
    tokenizers,
)
from experiments.experiment import Experiment
from mmq.errors import SettingsError, nearest

EXPERIMENTS: dict[str, Experiment] = {
    **tokenizers.EXPERIMENTS,
    **quantisers.EXPERIMENTS,
    **retrieval.EXPERIMENTS,
    **ranking.EXPERIMENTS,
    **finetuning.EXPERIMENTS,
    **new_items.EXPERIMENTS,
    **ties.EXPERIMENTS,
    **sampled_loss.EXPERIMENTS,
}


PEERS = "peers_ml1m"
"""Of other libraries, which not every installation has."""


def experiment(name: str) -> Experiment:
    """The experiment of a results file.

    Raises:
        SettingsError: there is none of that name.
    """
    if name == PEERS:
        from benchmarks.peers import EXPERIMENT

        return EXPERIMENT
    if name not in EXPERIMENTS:
        known = (*EXPERIMENTS, PEERS)
        raise SettingsError(f"there is no experiment '{name}'; {nearest(name, known)}")
    return EXPERIMENTS[name]


def command(name: str) -> str:
    """What runs an experiment."""
    data = " --data DATA" if name == PEERS or EXPERIMENTS[name].files else ""
    return f"python -m experiments run {name}{data}"

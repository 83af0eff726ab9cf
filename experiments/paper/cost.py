"""About how long the cells of a plan take: from what is finished, else from the size of the data.

The constants are seconds of one core of a two-core server of 2025; a GPU is many times faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from experiments.paper.plan import (
    ALTERNATING,
    JOINTLY,
    LONGER,
    POPULARITY,
    QUANTISATION,
    RANKING,
    SASREC,
    TUNING,
    Cell,
    goes_on,
    has_tokens,
)
from experiments.paper.scales import Scale
from experiments.paper.variants import BY_GRADIENT, MMQ
from mmq.ranking._settings import PPNetSettings
from mmq.recommenders import HeterRecSettings, SASRecSettings
from mmq.tokenizers import MMQSettings

_START = 1.0
_TOKENIZER = 7e-5  # an item and epoch, latents of 256
_LEAST_SQUARES = 4e-3  # an item, of MMQ
_HETERREC = 1.6e-4  # an interaction and epoch, width 64
_SASREC = 6e-5  # the same
_PPNET = 1.4e-5  # an impression and epoch
_EPOCHS = 15  # of a retrieval model whose epochs are not set
_STAGE2 = {LONGER: 1.0, JOINTLY: 1.5, ALTERNATING: 2.0}  # over an epoch of training


class Size(NamedTuple):
    """Of the data.

    Attributes:
        items: of the catalogue.
        interactions: liked ones, to learn retrieval from.
        impressions: to learn ranking from; 0 where there is no ranking.
    """

    items: int
    interactions: int
    impressions: int


def estimate(cell: Cell, scale: Scale, size: Size, known: Mapping[str, float]) -> float:
    """Seconds that a cell takes on one core.

    Args:
        cell: which.
        scale: of all cells.
        size: of the data.
        known: seconds of cells that are finished, by :func:`alike`.
    """
    if alike(cell) in known:
        return known[alike(cell)]
    if cell.part in (QUANTISATION, TUNING):
        return _START + _tokenizer(cell, scale, size)
    return _START + _model(cell, scale, size)


def _tokenizer(cell: Cell, scale: Scale, size: Size) -> float:
    if cell.row.variant.startswith(MMQ) and not cell.row.variant.startswith(BY_GRADIENT):
        trials = 1.0 if cell.part == QUANTISATION else scale.trials
        return _LEAST_SQUARES * size.items * trials
    wanted = scale.tokenizers.get("epochs")
    epochs = wanted or MMQSettings(learning="gradient").resolved_epochs(size.items)
    trials = 1.0 if cell.part == QUANTISATION else scale.trials * 2 / 3
    return _TOKENIZER * epochs * size.items * trials


def _model(cell: Cell, scale: Scale, size: Size) -> float:
    if cell.row.variant == POPULARITY:
        return 0.0
    if cell.part == RANKING:
        ranker = PPNetSettings.parse(scale.ppnet)
        each, epochs, own = (
            _PPNET * size.impressions,
            ranker.epochs or _EPOCHS,
            scale.ranking_stage2,
        )
    elif cell.row.variant == SASREC:
        model = SASRecSettings.parse(scale.sasrec)
        return _SASREC * size.interactions * (model.epochs or _EPOCHS) * _wider(model.hidden_dim)
    else:
        own = scale.item_tokens if has_tokens(cell) else {}
        speaker = HeterRecSettings.parse({**scale.heterrec, **own})
        each = _HETERREC * size.interactions * _wider(speaker.hidden_dim)
        epochs, own = speaker.epochs or _EPOCHS, scale.retrieval_stage2
    if not goes_on(cell):
        return each * epochs
    further = int({**scale.finetuning, **own}.get("epochs", 5))
    return each * further * _STAGE2[cell.row.stage]


def _wider(width: int) -> float:
    """Time goes up a little more slowly than the products do."""
    return float((width / 64) ** 1.3)


def alike(cell: Cell) -> str:
    """What cells share that take about the same time."""
    model = cell.row.variant if cell.row.variant in (POPULARITY, SASREC) else ""
    return f"{cell.part} {model} {cell.row.stage}"

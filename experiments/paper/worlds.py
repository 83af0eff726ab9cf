"""What the cells are made from: items and log, as retrieval and as ranking divide them."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.data import with_behaviour
from experiments.paper.plan import RETRIEVAL, Own
from experiments.paper.scales import Scale
from mmq.data import Catalogue, LogReader, read_catalogue, read_interactions
from mmq.data._cold import withhold_items
from mmq.data._sequences import Cases, Sequences
from mmq.encoders._behaviour import BehaviourSettings
from mmq.errors import SettingsError, UserError
from mmq.ranking import RankingData
from mmq.ranking._settings import RankingSplit
from mmq.recommenders import Recommender, RetrievalData, SplitSettings


@dataclass(frozen=True)
class Setup:
    """Where the data lie and how large the cells are; plain values, for other processes.

    Attributes:
        catalogue: a catalogue file.
        interactions: a log.
        columns: name of a column of the log -> its name in the file, where they differ.
        scale: what all cells are given.
        seeds: of all cells, so that no search for settings sees an item that any of them withholds.
        own: Python files with rows of the user's own, see :func:`own_rows`.
        device: "auto", "cpu" or "cuda".
    """

    catalogue: Path
    interactions: Path
    columns: tuple[tuple[str, str], ...]
    scale: Scale
    seeds: tuple[int, ...]
    own: tuple[Path, ...] = ()
    device: str = "auto"

    def __hash__(self) -> int:
        return hash((self.catalogue, self.interactions))


class RetrievalWorld(NamedTuple):
    """Items and log of a retrieval model; some items are withheld.

    Attributes:
        items: the catalogue, of the items of the log.
        data: what a model learns from and is tested on, without IDs.
        cold: cases of the withheld items.
        withheld: ``(items,)`` bool.
        users: ids of the users whom the test is of, for paired tests.
    """

    items: Catalogue
    data: RetrievalData
    cold: Cases
    withheld: np.ndarray
    users: np.ndarray


class RankingWorld(NamedTuple):
    """Items and log of a ranker."""

    items: Catalogue
    data: RankingData


@functools.lru_cache(maxsize=1)
def catalogue_of(setup: Setup) -> Catalogue:
    """All items."""
    return read_catalogue(setup.catalogue)


@functools.lru_cache(maxsize=1)
def retrieval_world(setup: Setup, seed: int) -> RetrievalWorld:
    """The positives of a log, split by leave-one-out once the cold ones of a seed are out."""
    scale = setup.scale
    split = SplitSettings(
        positive_above=scale.positive_above, min_interactions=scale.min_interactions
    )
    log = split.kept(read_interactions(setup.interactions, dict(setup.columns)))
    catalogue = catalogue_of(setup)
    items = catalogue.take(catalogue.rows(log.items.ids.to_pylist()))
    withheld = withhold_items(log, scale.cold_share, seed)
    rest = split.kept(withheld.rest)
    data = RetrievalData.of(rest, items.item_ids, split)
    is_cold = np.zeros(len(items), bool)
    is_cold[items.rows(withheld.cold_items.to_pylist())] = True
    users: np.ndarray = rest.users.ids.to_numpy(zero_copy_only=False)[
        np.unique(data.test.users)
    ].astype(str)
    return RetrievalWorld(items, data, data.cold_cases(withheld), is_cold, users)


def has_ratings(setup: Setup) -> bool:
    """Whether the log tells what was shown and not liked, so that there is something to rank by."""
    return bool(
        {"label", "rating"} & LogReader.open(setup.interactions, dict(setup.columns)).names.keys()
    )


@functools.lru_cache(maxsize=1)
def ranking_world(setup: Setup) -> RankingWorld:
    """All impressions of a log, split by its own column or by time."""
    split = RankingSplit(positive_above=setup.scale.positive_above)
    data = RankingData.of(LogReader.open(setup.interactions, dict(setup.columns)), split)
    catalogue = catalogue_of(setup)
    return RankingWorld(catalogue.take(catalogue.rows(data.item_ids.to_pylist())), data)


@functools.lru_cache(maxsize=2)
def items_of(setup: Setup, world: str, seed: int) -> Catalogue:
    """All items, with behaviour of a world's training part as one more modality, if one is named.

    Args:
        setup: where they are.
        world: "retrieval", "ranking", or empty for the content alone.
        seed: of the withheld items.
    """
    items = catalogue_of(setup)
    if not world:
        return items
    if world == RETRIEVAL:
        liked = retrieval_world(setup, seed)
        histories, met = liked.data.train, liked.items
    else:
        met, data = ranking_world(setup)
        histories = data.train.positives
    rows = items.rows(met.item_ids.to_pylist())[histories.rows]
    own = Sequences(rows, histories.first, histories.end)
    return with_behaviour(items, own, BehaviourSettings.parse(setup.scale.behaviour))


def withheld_of(setup: Setup, seed: int) -> np.ndarray:
    """``(items of the catalogue,)`` bool: those that no tokenizer is fitted to."""
    world, items = retrieval_world(setup, seed), catalogue_of(setup)
    found = np.zeros(len(items), bool)
    cold = world.items.item_ids.to_pylist()
    found[items.rows([item for item, out in zip(cold, world.withheld, strict=True) if out])] = True
    return found


Maker = Callable[[int], Any]
"""Makes an unfitted tokenizer or recommender from a seed."""


@functools.lru_cache(maxsize=1)
def own_rows(paths: tuple[Path, ...]) -> Mapping[str, Maker]:
    """The rows of a user's files: their ``ROWS``, name -> function that makes one from a seed.

    Raises:
        SettingsError: there is no such file, it fails, it has no such ``ROWS``, or two have a row
            of the same name.
    """
    found: dict[str, Maker] = {}
    for path in paths:
        rows = _rows_of(path)
        if twice := sorted(found.keys() & rows.keys()):
            raise SettingsError(f"{path} has a row '{twice[0]}' again; give it another name")
        found |= rows
    return found


def _rows_of(path: Path) -> Mapping[str, Maker]:
    if not path.is_file():
        raise SettingsError(f"there is no file with rows at {path}; check the path")
    spec = importlib.util.spec_from_file_location(f"mmq_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"{path} is no Python file; give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and settings look their own module up
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the result alone
            spec.loader.exec_module(module)
    except Exception as error:
        raise SettingsError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    rows = getattr(module, "ROWS", None)
    if not isinstance(rows, Mapping) or not rows or not all(map(callable, rows.values())):
        raise SettingsError(
            f"{path} should define ROWS, a dictionary: the name of a row -> a function that makes "
            "a tokenizer or a recommender from a seed"
        )
    return rows


def sorted_out(rows: Mapping[str, Maker]) -> Own:
    """Which of the user's rows are tokenizers, and which recommenders.

    Raises:
        SettingsError: one is neither, needs semantic IDs of others, or cannot be made.
    """
    tokenizers, recommenders = [], []
    for name, maker in rows.items():
        try:
            with contextlib.redirect_stdout(sys.stderr):
                made = maker(0)
        except UserError:
            raise
        except Exception as error:
            raise SettingsError(
                f"the row '{name}' cannot be made: {type(error).__name__}: {error}"
            ) from error
        if isinstance(made, Recommender):
            if made.needs_ids:
                raise SettingsError(
                    f"the row '{name}' is a recommender that needs semantic IDs, which a row of "
                    "its own has none of; add the tokenizer as a row"
                )
            recommenders.append(name)
        elif all(hasattr(made, each) for each in ("fit", "encode")):
            tokenizers.append(name)
        else:
            raise SettingsError(
                f"the row '{name}' is a {type(made).__name__}, neither a mmq.recommenders."
                "Recommender nor a tokenizer with fit, encode and codebook_sizes"
            )
    return Own(tuple(tokenizers), tuple(recommenders))

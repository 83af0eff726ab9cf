"""From logs to a replay: random slates with what came of them, and the target's probabilities."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq.ab._experiment import Experiment
from mmq.ab._replay import Replay, Replayed, item_rewards, replay
from mmq.ab._slates import draw_slates, slate_propensities
from mmq.ab._sources import Source, database, quoted
from mmq.errors import DataError

REWARDS = {"clicks": ("click", "1.0"), "orders": ("order", "1.0"), "revenue": ("order", "value")}
"""Reward -> kind of event, and what one is worth."""

_DRAWS = 16
_BLOCK = 1 << 22
_TOLERANCE = 1e-9


class Target(NamedTuple):
    """The release that is asked after.

    Attributes:
        path: Parquet of ``event_id`` of exposures, and either ``probability`` of the logged slate,
            or ``items`` and ``scores``: lists of candidates.
        temperature: at which slates are drawn from the scores.
    """

    path: str | Path
    temperature: float = 1.0


class _Logged(NamedTuple):
    """Random slates: ids, users, items ``(b k,)``, rewards of each ``(b, k)``, propensities."""

    events: pa.Array
    users: np.ndarray
    items: pa.Array
    rewards: np.ndarray
    propensities: np.ndarray


def replay_log(
    experiment: Experiment | None,
    exposures: str | Path,
    events: str | Path,
    target: Target,
    *,
    reward: str = "revenue",
    hours: float = 24.0,
    seed: int = 0,
) -> Replay:
    """The value of a release on logged slates.

    An event belongs to the last slate that showed its item to its user within some hours before.

    Args:
        experiment: whose exposures are replayed; None for all.
        exposures: Parquet of :class:`~mmq.ab.Exposure` rows with ``slate`` and ``propensity``.
        events: Parquet of :class:`~mmq.ab.Event` rows.
        target: the release.
        reward: clicks, orders or revenue.
        hours: within which an event follows a slate.
        seed: of the slates that are drawn for the model of rewards.

    Raises:
        DataError: there are no propensities, or a file, a column or a slate of the target is
            missing.
        FormatError: a file is damaged.
        MissingExtraError: DuckDB is not installed.
    """
    logged = _read(experiment, exposures, events, reward, hours)
    known = Source.open(target.path, ("event_id",), "the target").columns
    if "probability" in known:
        return replay(_of_probabilities(logged, target.path))
    for name in ("items", "scores"):
        if name not in known:
            raise DataError(
                f"{target.path} has neither 'probability' nor '{name}'; give the probability of "
                "each logged slate, or its candidates as lists of items and scores"
            )
    return replay(_of_scores(logged, target, np.random.default_rng(seed)))


def _read(
    experiment: Experiment | None,
    exposures: str | Path,
    events: str | Path,
    reward: str,
    hours: float,
) -> _Logged:
    needed = ("event_id", "user_id", "time")
    shown = Source.open(exposures, needed, "exposures")
    for name in ("slate", "propensity"):
        if name not in shown.columns:
            raise DataError(_no_propensities(exposures))
    done = Source.open(events, (*needed, "item_id", "kind", "value"), "events")
    own = shown.exposures_of(None if experiment is None else experiment.name)
    rows = _table(shown, done, own, *REWARDS[reward], hours)
    if not len(rows):
        raise DataError(_no_propensities(exposures))
    return _logged(rows)


def _no_propensities(exposures: str | Path) -> str:
    return (
        f"{exposures} has no slate with its propensity, and without them nobody can say what "
        "another release would have shown; set random_share of the experiment above 0 and log anew"
    )


def _table(shown: Source, done: Source, own: str, kind: str, worth: str, hours: float) -> pa.Table:
    """A row a random slate: ``event_id, user_id, slate, propensity, rewards``."""
    query = f"""
    WITH once AS (
        SELECT event_id, any_value(CAST(user_id AS VARCHAR)) AS user_id,
            min(epoch_us(time)) AS time, any_value(slate) AS slate,
            any_value(propensity) AS propensity
        FROM {shown.sql} WHERE {own} AND user_id IS NOT NULL AND time IS NOT NULL GROUP BY event_id
    ), places AS (
        SELECT event_id, user_id, time, unnest(slate) AS item_id,
            generate_subscripts(slate, 1) AS place FROM once
    ), gains AS (
        SELECT any_value(CAST(user_id AS VARCHAR)) AS user_id, any_value(item_id) AS item_id,
            min(epoch_us(time)) AS time, any_value(CAST({worth} AS DOUBLE)) AS gain
        FROM {done.sql} WHERE kind = {quoted(kind)} GROUP BY event_id
    ), matched AS (
        SELECT places.event_id, place, sum(gain) AS gain FROM gains ASOF JOIN places
        ON gains.user_id = places.user_id
            AND CAST(gains.item_id AS VARCHAR) = CAST(places.item_id AS VARCHAR)
            AND gains.time >= places.time
        WHERE gains.time < places.time + {int(hours * 3.6e9)} GROUP BY ALL
    )
    SELECT event_id, user_id, list(item_id ORDER BY place) AS slate,
        any_value(propensity) AS propensity,
        list(coalesce(gain, 0.0) ORDER BY place) AS rewards
    FROM places JOIN (SELECT event_id, propensity FROM once) USING (event_id)
        LEFT JOIN matched USING (event_id, place)
    WHERE propensity IS NOT NULL AND len(propensity) > 0 GROUP BY event_id, user_id
    ORDER BY event_id"""
    with tempfile.TemporaryDirectory(prefix="mmq-ab-") as folder, database() as base:
        path = Path(folder) / "slates.parquet"
        base.execute(f"COPY ({query}) TO {quoted(str(path))} (FORMAT parquet)")
        return pq.read_table(path)


def _logged(rows: pa.Table) -> _Logged:
    lengths = rows["slate"].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
    if (lengths != lengths[0]).any():
        raise DataError(
            f"slates of {lengths.min()} to {lengths.max()} items are logged; replay those of one "
            "length"
        )
    shape = len(rows), int(lengths[0])
    propensities, rewards = (_flat(rows[name]).reshape(shape) for name in ("propensity", "rewards"))
    if not ((propensities > 0) & (propensities <= 1 + _TOLERANCE)).all():
        raise DataError("a propensity is not above 0 and at most 1; log what the draw gave")
    items = rows["slate"].combine_chunks().flatten().cast(pa.string())
    users = np.unique(np.asarray(rows["user_id"]), return_inverse=True)[1]
    return _Logged(
        rows["event_id"].combine_chunks(), users, items, rewards, propensities.prod(axis=1)
    )


def _flat(lists: pa.ChunkedArray) -> np.ndarray:
    """The values of all lists, end to end."""
    return np.asarray(lists.combine_chunks().flatten().to_numpy(zero_copy_only=False))


def _aligned(logged: _Logged, path: str | Path, columns: list[str]) -> pa.Table:
    """The target's rows in the order of the logged slates."""
    found = pq.read_table(path, columns=["event_id", *columns])
    places = pc.index_in(logged.events, found["event_id"].cast(logged.events.type))
    missing = places.null_count
    if missing:
        raise DataError(
            f"{path} lacks {missing:,} of the {len(places):,} slates that were drawn at random; "
            "give the target's answer to each of them"
        )
    return found.take(places)


def _of_probabilities(logged: _Logged, path: str | Path) -> Replayed:
    targets = np.asarray(_aligned(logged, path, ["probability"])["probability"], np.float64)
    if not ((targets >= 0) & (targets <= 1 + _TOLERANCE)).all():
        raise DataError(f"a probability of {path} is not between 0 and 1; mend it")
    return Replayed(logged.users, logged.rewards.sum(axis=1), logged.propensities, targets)


def _of_scores(logged: _Logged, target: Target, rng: np.random.Generator) -> Replayed:
    """By a target that draws its slates from scores; with a model of rewards."""
    table = _aligned(logged, target.path, ["items", "scores"])
    shown, candidates, scores, count = _numbered(logged, table)
    halves, length = logged.users % 2, logged.rewards.shape[1]
    means = item_rewards(shown, logged.rewards, halves, count)
    targets, expected = np.empty(len(shown)), np.empty(len(shown))
    step = max(1, _BLOCK // max(1, scores.size // len(scores)))
    for start in range(0, len(shown), step):
        rows = slice(start, start + step)
        targets[rows] = _probability(
            shown[rows], candidates[rows], scores[rows], target.temperature
        )
        worth = np.take_along_axis(means[halves[rows]], candidates[rows], axis=1)
        expected[rows] = _expected(worth, scores[rows], target.temperature, length, rng)
    predicted = np.take_along_axis(means[halves], shown, axis=1).sum(axis=1)
    rewards = logged.rewards.sum(axis=1)
    return Replayed(logged.users, rewards, logged.propensities, targets, predicted, expected)


def _numbered(logged: _Logged, table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Items shown ``(b, k)``, candidates ``(b, c)`` by number, scores ``(b, c)``; how many items.

    Short rows are filled with candidates of no chance.
    """
    lengths, others = (
        table[name].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
        for name in ("items", "scores")
    )
    if (lengths != others).any():
        raise DataError("a row of the target has not one score for each item; give one for each")
    names = table["items"].combine_chunks().flatten().cast(pa.string())
    coded = pa.concat_arrays([logged.items, names]).dictionary_encode()
    numbers = coded.indices.to_numpy()
    filled = np.arange(lengths.max()) < lengths[:, None]
    candidates, scores = np.zeros(filled.shape, np.int64), np.full(filled.shape, -np.inf)
    candidates[filled] = numbers[len(logged.items) :]
    scores[filled] = _flat(table["scores"])
    shown = numbers[: len(logged.items)].reshape(logged.rewards.shape)
    return shown, candidates, scores, len(coded.dictionary)


def _probability(
    shown: np.ndarray, candidates: np.ndarray, scores: np.ndarray, temperature: float
) -> np.ndarray:
    """``(b,)`` of each logged slate; 0 where the target has not all of its items."""
    matches = (shown[:, :, None] == candidates[:, None, :]) & np.isfinite(scores)[:, None, :]
    places, has = matches.argmax(axis=2), matches.any(axis=2).all(axis=1)
    found = slate_propensities(scores, places, temperature).prod(axis=1)
    return np.where(has, found, 0.0)


def _expected(
    worth: np.ndarray, scores: np.ndarray, temperature: float, k: int, rng: np.random.Generator
) -> np.ndarray:
    """``(b,)`` mean predicted reward of slates drawn from the target."""
    total = np.zeros(len(worth))
    for _ in range(_DRAWS):
        drawn = draw_slates(scores, k, temperature, rng)
        total += np.take_along_axis(worth, drawn.places, axis=1).sum(axis=1)
    return total / _DRAWS

"""A ranker and rows of users and items -> a Parquet file of the rows with their probability."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmq._progress import bar
from mmq.data._interactions import REQUIRED, Interactions
from mmq.data._log import FORMAT, LEFT_ALONE, LogReader
from mmq.data._tables import column_names
from mmq.errors import DataError, SettingsError, nearest, shortened
from mmq.ranking import Ranker
from mmq.ranking._data import kept_rows
from mmq.ranking._past import Histories
from mmq.ranking._unseen import Unseen, unseen_values
from mmq.workflows._files import LogFile, ModelFolder
from mmq.workflows._marked import Marked
from mmq.workflows._run import locks_out

PROBABILITY = "probability"
"""Name of the column that is added."""

_SCORES = Marked("mmq.scores", "scores", "--out")
_OUTCOMES = ("rating", "label", "split")
"""Columns of a log that rows may have and that nobody reads: what they say is to be predicted."""


@locks_out
def score(
    model: ModelFolder | str | Path,
    rows: LogFile | str | Path,
    log: LogFile | str | Path,
    out: str | Path,
    *,
    drop_unknown: bool = False,
) -> dict[str, Any]:
    """Write rows with the probability that each is a positive; give back figures of them.

    The file has the columns of the rows and :data:`PROBABILITY`, float32, in their order. Memory
    holds the positives of the log and a million rows, however many there are; those of text files
    are read whole.

    Args:
        model: a ranker.
        rows: users, items and the further columns that the ranker reads; perhaps times. Its names
            of columns are those of the log.
        log: where histories are taken from: the user's positives before the row's time, those
            without a time included; all of them where the row has no time.
        out: Parquet file to write, whole or not at all.
        drop_unknown: leave out rows, and events of the log, whose item has no semantic ID, in place
            of an error.

    Raises:
        SettingsError: no ranker, or an option that is not for it.
        DataError: a file that cannot be used, a column that is missing, or an item without
            semantic ID.
        FormatError: a file is damaged.

    Example: ``score("ranker", "rows.parquet", "interactions.parquet", "scored.parquet")["rows"]``
    """
    folder, rows, log = ModelFolder.of(model), LogFile.of(rows), LogFile.of(log)
    _SCORES.check(out, [rows.path, log.path])
    ranker = folder.ranker()
    ids = ranker.ids and ranker.ids.item_ids
    if drop_unknown and ids is None:
        raise SettingsError(
            f"--drop-unknown is not for this {ranker.kind}, which reads no semantic IDs; leave it "
            "out"
        )
    asked = _rows(rows, ranker)
    kept = asked.with_items(ids) if drop_unknown else asked
    split = ranker.split
    if drop_unknown:
        split = split.model_copy(update={"drop_unknown": True})
    reader = LogReader.open(log.path, log.for_model(ranker).columns)
    events, _ = kept_rows(reader.without("split"), split, ids)
    histories = Histories.of(events, split.positive_above)
    figures = _write(ranker, kept, histories, out)
    return {"left_out": asked.rows - kept.rows, **figures, "out": str(out)}


def _rows(rows: LogFile, ranker: Ranker[Any]) -> LogReader:
    """What reads the rows, with all columns that they have.

    Raises:
        DataError: a column is missing, or has the name of what is added.
    """
    known, (further, numeric) = column_names(rows.path), ranker.further_columns()
    if PROBABILITY in known:
        raise DataError(
            f"{rows.path} has a column '{PROBABILITY}' already, which is what mmq score adds; "
            "rename it, or leave it out"
        )
    for name in further:
        if name not in known:
            raise DataError(
                f"{rows.path} has no column '{name}', which the ranker reads; "
                f"{nearest(name, known)}"
            )
    given = rows.for_model(ranker).columns
    columns = {name: given[name] for name in (*REQUIRED, FORMAT) if name in given}
    if given.get("timestamp") in (*known, LEFT_ALONE):
        columns["timestamp"] = given["timestamp"]
    columns |= dict.fromkeys(_OUTCOMES, LEFT_ALONE)
    reader = LogReader.open(rows.path, columns, None).with_numeric(numeric, settled=True)
    if not reader.rows:
        raise DataError(f"{rows.path} has no rows; give at least one")
    return reader


class _Scored(NamedTuple):
    """A piece of the rows.

    Attributes:
        probability: ``(rows,)`` float32.
        counts: rows by what the ranker does not know of them.
        values: of each column of categories, what training did not see.
    """

    probability: np.ndarray
    counts: Counter[str]
    values: dict[str, Unseen]


def _write(
    ranker: Ranker[Any], reader: LogReader, histories: Histories, out: str | Path
) -> dict[str, Any]:
    started, counts, values = time.monotonic(), Counter[str](), dict[str, Unseen]()
    pieces = iter(reader)
    first = next(pieces)
    schema = first[1].schema.append(pa.field(PROBABILITY, pa.float32()))
    with _SCORES.writer(out, schema) as writer, bar("scoring", reader.rows, "rows") as advance:
        for rows, table in chain([first], pieces):
            found = _scored(ranker, rows, table, histories)
            whole = table.append_column(PROBABILITY, pa.array(found.probability))
            writer.write_table(_like(whole, schema, reader.place))
            counts.update(found.counts)
            values = {
                name: values.get(name, Unseen()).and_(each) for name, each in found.values.items()
            }
            advance(len(rows))
    seconds = time.monotonic() - started
    return {
        "model": ranker.kind,
        "rows": reader.rows,
        **{name: counts[name] for name in _SENTENCES},
        "unseen_values": {name: each.unseen for name, each in values.items()},
        "seconds": seconds,
        "rows_per_second": reader.rows / max(seconds, 1e-9),
        "warnings": [
            *_concerns(counts, reader.rows),
            *_strangers(counts, reader.rows, histories, first[0]),
            *(sentence for name, each in values.items() for sentence in each.concern(name)),
        ],
    }


def _scored(
    ranker: Ranker[Any], rows: Interactions, table: pa.Table, histories: Histories
) -> _Scored:
    further, numeric = ranker.further_columns()
    known, impressions = histories.impressions(rows, table.select(further), numeric)
    numbering = ranker.numbering(known)
    empty = impressions.histories(1).lengths == 0
    counts = {
        "without_history": empty,
        "without_time": ~rows.has_time,
        "unknown_users": numbering.users[impressions.users] == 0,
        "unknown_items": numbering.items[impressions.items] == 0,
    }
    return _Scored(
        ranker.predict(impressions, numbering),
        Counter({name: int(mask.sum()) for name, mask in counts.items()}),
        unseen_values(known, numbering, impressions),
    )


def _like(table: pa.Table, schema: pa.Schema, place: str) -> pa.Table:
    """A piece of the rows with the types of the first."""
    if table.schema.equals(schema):
        return table
    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"the files of {place} do not go together ({str(error).splitlines()[0]}); give a "
            "column one type in all of them"
        ) from error


_SENTENCES = {
    "without_history": "have a user without positives before them in the log, and are scored "
    "without a history",
    "without_time": "have no time, so their history is all that the log holds of their user",
    "unknown_users": "have a user that training did not see",
    "unknown_items": "have an item that training did not see",
}
"""What is counted -> what a warning says of so many rows."""


def _concerns(counts: Counter[str], rows: int) -> Iterator[str]:
    for name, sentence in _SENTENCES.items():
        if counts[name]:
            yield f"{counts[name]:,} of {rows:,} rows {sentence}"


def _strangers(
    counts: Counter[str], rows: int, histories: Histories, first: Interactions
) -> Iterator[str]:
    """What to say where no row has a history, as if ids were written otherwise."""
    if counts["without_history"] == rows and len(histories.users):
        here, there = (shortened(str(each[0])) for each in (first.user_ids, histories.users))
        yield (
            f"no row has a history: the log has users such as {there} where the rows have {here}; "
            "are ids written alike, and is the log older than the rows?"
        )

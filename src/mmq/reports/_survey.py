"""One pass over the catalogue in a stream: its facts, a sample to measure on, items to show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq._progress import bar
from mmq.data._catalogue import Catalogue
from mmq.data._parquet import concatenate
from mmq.reports._sources import Sources
from mmq.semantic_ids import CatalogueFacts, Lacking, catalogue_facts

SAMPLE = 20_000
"""Items that figures are measured on, evenly spread; a mean over so many is exact enough."""

PICTURES = ("image_path", "image")


class Shown(NamedTuple):
    """What people see of an item.

    Attributes:
        title: empty where there is none.
        picture: path of its picture, None where it has none.
    """

    title: str = ""
    picture: str | None = None


class Survey(NamedTuple):
    """What one pass over a catalogue gives.

    Attributes:
        facts: of all items.
        lacking: which items of the table lack a modality; nothing where it is not known whose
            modality the positions are.
        sample: at most :data:`SAMPLE` items that have a semantic ID.
        rows: ``(sample items,)`` their rows in the table.
        shown: row in the table -> what to show, for the rows that were asked for.
    """

    facts: CatalogueFacts
    lacking: Lacking
    sample: Catalogue
    rows: np.ndarray
    shown: dict[int, Shown]


def survey(sources: Sources, wanted: np.ndarray) -> Survey:
    """Read the catalogue once, in bounded memory.

    Args:
        sources: with a catalogue.
        wanted: rows of the table whose items are to be shown.
    """
    file, rows = sources.catalogue, sources.rows
    assert file is not None
    codes, positions = sources.ids.codes, sources.positions or {}
    lacking = Lacking()
    with_id = np.flatnonzero(rows >= 0)
    picks = with_id[np.linspace(0, len(with_id) - 1, min(SAMPLE, len(with_id))).astype(np.int64)]
    showing = np.flatnonzero(np.isin(rows, wanted) & (rows >= 0))
    pieces: list[Catalogue] = []
    shown: dict[int, Shown] = {}

    def watched() -> Iterator[Catalogue]:
        nonlocal lacking
        start = 0
        with bar("inspect", len(file)) as advance:
            for batch in file.batches(attributes=True):
                place = _within(picks, start, len(batch))
                if len(place):
                    pieces.append(batch.take(place))
                place = _within(showing, start, len(batch))
                shown.update(
                    zip(
                        rows[start + place].tolist(),
                        shown_of(batch.attributes, place, file.path.parent),
                        strict=True,
                    )
                )
                own = rows[start : start + len(batch)]
                absent = {name: ~mask[own >= 0] for name, mask in batch.present.items()}
                lacking += Lacking.of(codes[own[own >= 0]], absent, positions)
                yield batch
                start += len(batch)
                advance(len(batch))

    facts = catalogue_facts(watched())
    return Survey(facts, lacking, concatenate(pieces), rows[picks], shown)


def _within(rows: np.ndarray, start: int, count: int) -> np.ndarray:
    """Those of the sorted ``rows`` that lie in a batch, counted from its start."""
    first, end = np.searchsorted(rows, (start, start + count))
    inside: np.ndarray = rows[first:end] - start
    return inside


def shown_of(table: pa.Table, place: np.ndarray, folder: Path) -> list[Shown]:
    """What people see of the items at some places of a table of attributes.

    Args:
        table: of attributes.
        place: rows of it.
        folder: of the catalogue, where its pictures are found.
    """
    titles = _texts(table, ("title",), place)
    pictures = _texts(table, PICTURES, place)
    return [
        Shown(title or "", str(_located(picture, folder)) if picture else None)
        for title, picture in zip(titles, pictures, strict=True)
    ]


def _texts(table: pa.Table, names: tuple[str, ...], place: np.ndarray) -> list[str | None]:
    """Values of the first column of text among ``names``; None where there is none."""
    for name in names:
        if name in table.column_names and pa.types.is_string(table.column(name).type):
            values: list[str | None] = table.column(name).take(pa.array(place)).to_pylist()
            return values
    return [None] * len(place)


def _located(picture: str, folder: Path) -> Path:
    return folder / picture  # an absolute path stays as it is

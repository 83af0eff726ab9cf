"""What every importer of a public data set ends with: items.parquet and interactions.parquet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq._artifacts import check_replaceable, disk_errors, sha256, write_file
from mmq._formats import read_json, write_json
from mmq.data._catalogue import Catalogue
from mmq.data._embeddings import as_matrix, is_embedding, width_of
from mmq.data._interactions import Interactions, write_interactions
from mmq.data._item_ids import are_alike, joined, same_type
from mmq.data._parquet import write_catalogue
from mmq.data._texts import as_texts
from mmq.errors import DataError, SettingsError, warn
from mmq.made_from import check_same

MARKER = "mmq-import.json"
"""The file that marks a folder as an import, which another import may overwrite."""


class Imported(NamedTuple):
    """A public data set as it was read.

    Attributes:
        layout: which of the public layouts was found.
        items: an ``item_id`` column and what is known about the items, an id a row.
        interactions: the log.
    """

    layout: str
    items: pa.Table
    interactions: Interactions


def select_core(imported: Imported, k_core: int | None) -> Imported:
    """The data set cut to its k-core, its items being exactly those of the log.

    Items come in the order of the metadata; those without any follow, all other columns null.

    Raises:
        SettingsError: ``k_core`` is below 1.
        DataError: nothing is left.
    """
    interactions = imported.interactions
    if k_core is not None:
        if k_core < 1:
            raise SettingsError(f"--k-core {k_core} should be 1 or more")
        interactions = interactions.k_core(k_core)
        if not len(interactions):
            raise DataError(f"the {k_core}-core has no interactions; choose a smaller --k-core")
    ids, items = interactions.items.ids, imported.items
    column = joined(items.column("item_id"))
    if not are_alike(column.type, ids.type):  # numbers in one file, text in the other
        column, ids = column.cast(pa.string()), ids.cast(pa.string())
        items = items.set_column(items.column_names.index("item_id"), "item_id", column)
        log = interactions.table
        index = log.column_names.index("item_id")
        texts = log.column("item_id").cast(pa.string())
        interactions = Interactions(log.set_column(index, "item_id", texts))
    column, ids = same_type([column, ids])
    known = items.filter(pc.is_in(column, ids))
    unknown = ids.filter(pc.invert(pc.is_in(ids, column)))
    rows = pa.table({"item_id": unknown.cast(known.schema.field("item_id").type)})
    return Imported(
        imported.layout,
        pa.concat_tables([known, rows], promote_options="default").combine_chunks(),
        interactions,
    )


def check_replaced(folder: str | Path, inputs: Mapping[str, Any], force: bool) -> None:
    """Raise :class:`~mmq.errors.DataError` if a folder holds an import of other inputs.

    Args:
        folder: where the import is to go.
        inputs: everything that decides what it holds; see :mod:`mmq.made_from`.
        force: whether it is replaced all the same.
    """
    check_replaceable(folder, MARKER)
    marker = Path(folder) / MARKER
    if marker.is_file() and not force:
        found = read_json(marker, "marker").get("made_from")
        check_same(Path(folder), "an import", inputs, found)


def write_import(
    folder: str | Path, read: Callable[[], Imported], inputs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write ``items.parquet`` and ``interactions.parquet`` into a folder; give back a summary.

    Where items have embeddings, ``catalogue.parquet`` is written as well. Other files of the
    folder are kept, so that a catalogue made by hand may live beside them.

    Args:
        folder: where to write; it is checked before anything is read.
        read: gives the data set, its items being exactly those of its log.
        inputs: what it is made from, to be kept in the folder.

    Returns:
        ``layout``, ``items``, ``users``, ``interactions``, ``out``, and ``catalogue`` (its path)
        where one was written.

    Raises:
        DataError: the folder holds other content and no earlier import.
    """
    folder = Path(folder)
    check_replaceable(folder, MARKER)
    imported = read()
    interactions, catalogue = imported.interactions, embedded(imported.items)
    summary = {
        "layout": imported.layout,
        "items": imported.items.num_rows,
        "users": len(interactions.users.ids),
        "interactions": len(interactions),
    }
    made = {**summary, "out": str(folder)}
    with disk_errors(folder), contextlib.ExitStack() as files:

        def file(name: str) -> Path:
            return files.enter_context(write_file(folder / name))

        pq.write_table(imported.items, file("items.parquet"), compression="zstd")
        write_interactions(file("interactions.parquet"), interactions)
        summary["catalogue"] = None
        if catalogue is not None:
            path = file("catalogue.parquet")
            write_catalogue(path, catalogue)
            made["catalogue"] = str(folder / "catalogue.parquet")
            summary["catalogue"] = sha256(path)
        elif _is_own(folder):  # of the items of an earlier import
            (folder / "catalogue.parquet").unlink()
        # Opened last, it gets its name first: what a killed import leaves can be written over.
        write_json(file(MARKER), summary if inputs is None else {**summary, "made_from": inputs})
    return made


def _is_own(folder: Path) -> bool:
    """Whether the catalogue in a folder is that of an earlier import, as it wrote it."""
    catalogue, marker = folder / "catalogue.parquet", folder / MARKER
    if not (catalogue.is_file() and marker.is_file()):
        return False
    return read_json(marker, "marker").get("catalogue") == sha256(catalogue)


def embedded(items: pa.Table) -> Catalogue | None:
    """The catalogue whose modalities are the lists of numbers of the items; None without any.

    Lists of many lengths are no embedding, which a warning says. Other columns become attributes.

    Raises:
        DataError: a list has another length than most of its column; its item is named.
    """
    ids = items.column("item_id").combine_chunks()
    embeddings = {
        field.name: _matrix(items.column(field.name), field.name, ids)
        for field in items.schema
        if is_embedding(field.type) and _has_width(items.column(field.name), field.name)
    }
    if not embeddings:
        return None
    shown = {
        field.name: as_texts(items.column(field.name), field.name)
        for field in items.schema
        if field.name != "item_id" and not is_embedding(field.type)
    }
    return Catalogue.build(ids, embeddings, pa.table(shown))


def _has_width(column: pa.ChunkedArray, name: str) -> bool:
    width = width_of(column)
    lengths = pc.list_value_length(column)
    there = pc.sum(pc.greater(lengths, 0)).as_py() or 0
    alike = 0 if width is None else pc.sum(pc.equal(lengths, width)).as_py() or 0
    if there and 2 * alike <= there:
        warn(
            f"the column {name} holds lists of many lengths and is no embedding; it is kept with "
            "the items alone"
        )
        return False
    return there > 0


def _matrix(column: pa.ChunkedArray, name: str, ids: pa.Array) -> np.ndarray:
    """``(items, dimension)`` float32; a missing embedding is a row of NaN."""
    width = width_of(column)
    assert width is not None, "there is one"
    matrix, present = as_matrix(column, name, width, ids)
    return np.where(present[:, None], matrix, np.float32(np.nan))

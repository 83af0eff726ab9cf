"""Embeddings in .npy files, and public data sets -> a catalogue and a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from mmq._artifacts import check_writable
from mmq.data._datasets import amazon, movielens, recbole
from mmq.data._importers import Imported, check_replaced, select_core, write_import
from mmq.data._npy import NpyImport
from mmq.data._npy import import_npy as write_npy
from mmq.data._parquet import check_replaced as check_catalogue
from mmq.workflows._run import locks_out

_LAYOUTS: dict[str, tuple[Callable[[str | Path], Any], Callable[..., Imported]]] = {
    "movielens": (movielens.find_files, movielens.read_movielens),
    "amazon": (amazon.find_files, amazon.read_amazon),
    "recbole": (recbole.find_files, recbole.read_recbole),
}


@locks_out
def import_npy(source: NpyImport, out: str | Path, *, force: bool = False) -> dict[str, Any]:
    """Figures of a catalogue that was made of an items file and one array a modality.

    Args:
        source: the items, the arrays, and what to reduce them to.
        out: the catalogue to write.
        force: replace a catalogue of other inputs.

    Raises:
        DataError: items and arrays do not fit each other, or ``out`` holds something else.
        FormatError: a file is truncated or damaged.

    Example: ``import_npy(NpyImport("items.jsonl", {"text": "text.npy"}), "catalogue.parquet")``
    """
    start = time.perf_counter()
    check_writable(out, source.files())
    inputs = source.inputs()
    check_catalogue(out, inputs, force)
    return _timed(write_npy(source, out, inputs), start)


@locks_out
def import_data(
    layout: Literal["movielens", "amazon", "recbole"],
    path: str | Path,
    out: str | Path,
    k_core: int | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Figures of a public data set, whose items and log are written to a folder.

    Args:
        layout: whose it is.
        path: its folder, or a file of it where it may be one.
        out: the folder to write.
        k_core: keep users and items with at least so many interactions.
        columns: of RecBole's log, mmq's name of a column -> the file's, for those that differ.
        force: replace an import of other inputs.

    Raises:
        DataError: there is no such data set, or ``out`` holds something else.
        FormatError: a file is truncated or damaged.

    Example: ``import_data("movielens", "ml-1m", "movies", k_core=5)``
    """
    start, (find_files, read) = time.perf_counter(), _LAYOUTS[layout]
    named = {"columns": dict(columns or {})} if layout == "recbole" else {}
    inputs = {**find_files(path).inputs(), "k-core": k_core, **named}
    check_replaced(out, inputs, force)
    result = write_import(out, lambda: select_core(read(path, *named.values()), k_core), inputs)
    return _timed(result, start)


def _timed(result: dict[str, Any], start: float) -> dict[str, Any]:
    return {**result, "seconds": round(time.perf_counter() - start, 3)}

"""The files of a ranker's folder beside those of all models: its vocabulary, and the ID table.

config.json says beside what all models say: ``split`` (how its log was divided),
``log_columns`` (names of its columns, where they differ from mmq's, or null), ``ids`` (manifest
and fingerprint of the semantic IDs, or null), ``columns`` (names of the further columns of
categories), ``numbers`` (name -> mean and sd of those of numbers) and ``vocabulary_sha256``.
vocabulary.parquet has a row a value: ``column`` (``user``, ``item``, or ``column:`` and a further
column's name), ``value`` as text, ``whole`` (whether it is a whole number), ``shown`` and ``liked``
(its training impressions).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq._artifacts import sha256
from mmq._log_model import LogConfig, read_ids
from mmq._model_folder import (
    CONFIG,
    FolderFormat,
    card,
    figure_rows,
    require_hash,
)
from mmq.errors import FormatError
from mmq.ranking._numbers import Scale
from mmq.ranking._vocabulary import Vocabulary
from mmq.semantic_ids import SemanticIDs

VOCABULARY, IDS = "vocabulary.parquet", "ids.parquet"


class RankerConfig(LogConfig):
    """What the config.json of a ranker has to hold."""

    columns: list[str]
    vocabulary_sha256: str


FORMAT = FolderFormat(
    "ranker",
    RankerConfig,
    version=2,  # rates are read; the vocabulary of format 1 has none
    oldest=2,
    again="train it again with mmq train ranking",
    files=(VOCABULARY, IDS),
)


def write_files(folder: Path, known: Vocabulary, ids: SemanticIDs | None) -> dict[str, Any]:
    """Write vocabulary and IDs; gives what config.json says of them."""
    _write_vocabulary(folder / VOCABULARY, known)
    if ids is not None:
        ids.write(folder / IDS)
    return {"vocabulary_sha256": sha256(folder / VOCABULARY)}


def read_files(folder: Path, config: Mapping[str, Any]) -> tuple[Vocabulary, SemanticIDs | None]:
    """Vocabulary and IDs of a folder.

    Raises:
        FormatError: they are not those that the model was fitted to.
    """
    ids = read_ids(folder / IDS, config)
    path = require_hash(folder / VOCABULARY, "vocabulary", config["vocabulary_sha256"])
    return _read_vocabulary(path, config["columns"], _scales(config, folder)), ids


def ranker_card(config: Mapping[str, Any]) -> str:
    """Markdown that says what the folder holds."""
    known = "item IDs" if config["settings"].get("item_id", True) else "no item IDs"
    lines = [
        f"Predicts whether a user will like an item, from {known}"
        + (" and semantic IDs." if config["ids"] else "."),
        "",
        "```sh",
        "mmq evaluate THIS_FOLDER --interactions interactions.parquet",
        "```",
        "",
        *figure_rows(config["figures"].get("validation", {})),
    ]
    return card(f"Ranker ({config['ranker']})", "click-prediction", lines, config)


def _scales(config: Mapping[str, Any], folder: Path) -> dict[str, Scale]:
    try:
        return {
            name: Scale(float(each["mean"]), float(each["sd"]))
            for name, each in config.get("numbers", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"'numbers' of {folder / CONFIG} is not as mmq writes it; the file is damaged, copy or "
            "make it again"
        ) from error


def _write_vocabulary(path: Path, known: Vocabulary) -> None:
    kinds = {"user": known.users, "item": known.items}
    kinds |= {f"column:{name}": values for name, values in known.columns.items()}
    tables = []
    for (kind, values), counts in zip(kinds.items(), known.counts, strict=True):
        tables.append(
            pa.table(
                {
                    "column": pa.array([kind] * len(values), pa.string()),
                    "value": values.cast(pa.string()),
                    "whole": pa.array([pa.types.is_integer(values.type)] * len(values)),
                    "shown": pa.array(counts[:, 0], pa.int64()),
                    "liked": pa.array(counts[:, 1], pa.int64()),
                }
            )
        )
    pq.write_table(pa.concat_tables(tables), path, compression="zstd")


def _read_vocabulary(path: Path, columns: list[str], numbers: Mapping[str, Scale]) -> Vocabulary:
    table = pq.read_table(path)

    def of(kind: str) -> pa.Table:
        return table.filter(pc.equal(table["column"], kind))

    def values(rows: pa.Table) -> pa.Array:
        whole = rows.num_rows and rows["whole"][0].as_py()
        return rows["value"].combine_chunks().cast(pa.int64() if whole else pa.string())

    groups = [of(kind) for kind in ("user", "item", *(f"column:{name}" for name in columns))]
    counts = [np.stack([each["shown"], each["liked"]], 1) for each in groups]
    users, items, *others = map(values, groups)
    further = dict(zip(columns, others, strict=True))
    return Vocabulary(users, items, further, numbers, tuple(counts))

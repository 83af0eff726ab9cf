"""The files of a recommender's folder beside those of all models: its items, or their IDs.

config.json says beside what all models say: ``split`` (which interactions it was fitted to),
``log_columns`` (names of the columns of its log, where they differ from mmq's, or null),
``ids`` (manifest and fingerprint of the semantic IDs, or null), ``items`` (how many),
``items_sha256`` and, of each part, who was ``measured``. The weights hold a tensor ``popularity``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from mmq._artifacts import require_file, sha256
from mmq._log_model import LogConfig, read_ids
from mmq._model_folder import FolderFormat, card, figure_rows, require_hash
from mmq.data._item_ids import as_item_ids, check_ids
from mmq.errors import FormatError
from mmq.recommenders._results import Items

ITEMS = "items.parquet"
POPULARITY = "popularity"
"""Name of the tensor of counts among those of the weights."""


class RecommenderConfig(LogConfig):
    """What the config.json of a recommender has to hold."""

    items_sha256: str
    measured: dict[str, dict[str, Any]] = Field(default_factory=dict)


FORMAT = FolderFormat(
    "recommender",
    RecommenderConfig,
    version=2,  # histories are normalised before the transformer; weights of format 1 do not fit
    oldest=2,
    again="train it again with mmq train retrieval",
    files=(ITEMS,),
)


def write_items(folder: Path, items: Items) -> dict[str, Any]:
    """Write the items, or the table of their IDs; gives what config.json says of the file."""
    if items.ids is not None:
        items.ids.write(folder / ITEMS)
    else:
        pq.write_table(pa.table({"item_id": items.item_ids}), folder / ITEMS)
    return {"items_sha256": sha256(folder / ITEMS)}


def read_items(folder: Path, config: Mapping[str, Any], popularity: np.ndarray | None) -> Items:
    """The items of a folder.

    Raises:
        FormatError: they are not those that the model was fitted to.
    """
    path = folder / ITEMS
    ids = read_ids(path, config)
    item_ids = ids.item_ids if ids else _read_item_ids(path, config["items_sha256"])
    if popularity is None or popularity.shape != (len(item_ids),):
        raise FormatError(
            f"{folder} has no popularity for its {len(item_ids):,} items; its files do not belong "
            "together, copy the whole folder"
        )
    return Items(item_ids, ids, popularity)


def _read_item_ids(path: Path, expected: str) -> pa.Array:
    what = "list of the recommender's items"
    try:
        column = pq.read_table(require_file(path, what))["item_id"]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise FormatError(
            f"{path} is truncated or damaged ({str(error).splitlines()[0]}); copy or make it again"
        ) from error
    item_ids = as_item_ids(column)
    check_ids(item_ids)
    require_hash(path, what, expected)
    return item_ids


def recommender_card(config: Mapping[str, Any], sentences: Mapping[str, str]) -> str:
    """Markdown that says what the folder holds.

    Args:
        config: what config.json says.
        sentences: of each part, who is measured.
    """
    lines = [
        f"Recommends from {config['items']:,} items, given a user's history.",
        "",
        "```sh",
        "mmq recommend THIS_FOLDER --history ITEM,ITEM,ITEM -k 10",
        "```",
        "",
        *figure_rows(config["figures"].get("validation", {})),
    ]
    for part, sentence in sentences.items():
        lines += [f"{part.capitalize()} part: {sentence}.", ""]
    return card(f"Recommender ({config['recommender']})", "generative-retrieval", lines, config)

"""The save format of recommenders: config.json, model.safetensors, items.parquet, README.md.

config.json holds ``format`` (version), ``recommender`` (kind), ``settings``, ``split`` (settings of
the data it was fitted to), ``ids`` (manifest and fingerprint of the semantic IDs, or null),
``items`` and ``items_sha256`` (how many, and the hash of their file), ``figures`` of the fit,
``measured`` (who of the held-out parts is measured) and the ``mmq`` version. items.parquet is the
ID table, or for a recommender without IDs a table of the item ids. This module is the only reader
and writer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmq.artifacts import check_own_folder, require_file, sha256, write_folder
from mmq.data.item_ids import as_item_ids, check_ids
from mmq.errors import FormatError, nearest
from mmq.formats import read_json, read_tensors, write_json, write_tensors
from mmq.made_from import NOTE
from mmq.recommenders.base import Recommender
from mmq.recommenders.data import SplitSettings
from mmq.recommenders.ease import EASE
from mmq.recommenders.heterrec import HeterRec
from mmq.recommenders.item_knn import ItemKNN
from mmq.recommenders.measured import Measured
from mmq.recommenders.popularity import Popularity
from mmq.recommenders.results import Items, RetrievalFit
from mmq.recommenders.sasrec import SASRec
from mmq.semantic_ids import SemanticIDs
from mmq.version import __version__

FORMAT = 2
"""2: histories are normalised before the transformer; weights of format 1 do not fit."""
CONFIG, WEIGHTS, ITEMS, CARD, LOG = (
    "config.json",
    "model.safetensors",
    "items.parquet",
    "README.md",
    "training.jsonl",
)
FILES = (CONFIG, WEIGHTS, ITEMS, CARD, LOG)
_KEYS = {
    "format": int,
    "recommender": str,
    "settings": dict,
    "split": dict,
    "ids": dict | None,
    "items_sha256": str,
}
"""What config.json has to hold."""
KINDS: dict[str, type[Recommender[Any]]] = {
    each.kind: each for each in (HeterRec, SASRec, ItemKNN, EASE, Popularity)
}
POPULARITY = "popularity"
"""Name of the tensor of counts among those of the weights."""


def recommender_class(kind: str) -> type[Recommender[Any]]:
    """The class of a kind of recommender.

    Raises:
        FormatError: there is no such kind.
    """
    if kind not in KINDS:
        raise FormatError(f"there is no recommender '{kind}'; {nearest(kind, KINDS)}")
    return KINDS[kind]


def check_target(folder: str | Path) -> None:
    """Raise :class:`~mmq.errors.DataError` if saving there would overwrite something else."""
    check_own_folder(folder, (*FILES, NOTE), CONFIG, ("recommender", "mmq"))


def save_recommender(
    recommender: Recommender[Any],
    folder: str | Path,
    split: SplitSettings | None = None,
    fit: RetrievalFit | None = None,
    measured: Mapping[str, Measured] | None = None,
) -> None:
    """Write a recommender's folder, whole or not at all.

    What it was fitted to is written; a table given later (``HeterRec.with_ids``) is not.

    Args:
        recommender: a fitted one.
        folder: to write, or to replace if mmq made it.
        split: which interactions it was fitted to, so that ``mmq evaluate`` takes the same.
        fit: what the fit gave back.
        measured: of each part, who is measured and who is left out: ``RetrievalData.measured``.

    Raises:
        DataError: the folder exists with other content, or the disk is full.
    """
    check_target(folder)
    fitted = recommender.fitted
    ids = None
    if fitted.ids is not None:
        ids = {"fingerprint": fitted.ids.fingerprint(), "manifest": fitted.ids.manifest}
    config = {
        "format": FORMAT,
        "recommender": recommender.kind,
        "settings": recommender.settings.to_dict(),
        "split": (split or SplitSettings()).to_dict(),
        "ids": ids,
        "items": len(fitted.item_ids),
        "figures": _figures(fit) if fit else {},
        "measured": {part: each.to_dict() for part, each in (measured or {}).items()},
        "mmq": __version__,
    }
    with write_folder(folder, CONFIG) as temporary:
        write_tensors(temporary / WEIGHTS, {**recommender.tensors(), POPULARITY: fitted.popularity})
        if fitted.ids is not None:
            fitted.ids.write(temporary / ITEMS)
        else:
            pq.write_table(pa.table({"item_id": fitted.item_ids}), temporary / ITEMS)
        config["items_sha256"] = sha256(temporary / ITEMS)
        write_json(temporary / CONFIG, config)
        (temporary / CARD).write_text(_card(config, measured or {}), "utf-8")
        if recommender.log:
            lines = [json.dumps(epoch) + "\n" for epoch in recommender.log]
            (temporary / LOG).write_text("".join(lines), "utf-8")


def load_recommender(folder: str | Path, device: str = "auto") -> Recommender[Any]:
    """The recommender in a folder, ready to recommend.

    Raises:
        DataError: no such folder.
        FormatError: damaged, of a newer version, or its parts do not belong together.
    """
    config = read_config(folder)
    maker = recommender_class(config["recommender"])
    recommender = maker(maker.settings_class.parse(config["settings"]), device=device)
    tensors = read_tensors(Path(folder) / WEIGHTS, "file of the recommender's weights")
    recommender.load_items(_items(Path(folder), config, tensors.pop(POPULARITY, None)))
    recommender.restore(tensors, Path(folder))
    return recommender


def read_config(folder: str | Path) -> dict[str, Any]:
    """The checked config.json of a recommender folder."""
    path = Path(folder) / CONFIG
    config = read_json(path, "recommender (a folder with config.json)")
    missing = _KEYS.keys() - config.keys()
    wrong = [name for name, kind in _KEYS.items() if not isinstance(config.get(name), kind)]
    if missing or wrong:
        what = f"no '{min(missing)}'" if missing else f"'{wrong[0]}' is not as mmq writes it"
        raise FormatError(
            f"{path} is not the config of an mmq recommender ({what}); give the folder that "
            "mmq train wrote"
        )
    if config["format"] > FORMAT:
        raise FormatError(
            f"{folder} has format {config['format']}, this mmq reads up to {FORMAT}; upgrade mmq"
        )
    if config["format"] < FORMAT:
        raise FormatError(
            f"{folder} has format {config['format']}, whose network this mmq no longer has; train "
            "it again with mmq train retrieval"
        )
    return config


def split_settings(folder: str | Path) -> SplitSettings:
    """Which interactions the recommender in a folder was fitted to."""
    return SplitSettings.parse(read_config(folder)["split"])


def _figures(fit: RetrievalFit) -> dict[str, Any]:
    """What is the same whenever the same model is trained: no times."""
    return {"epochs": fit.epochs, "best_epoch": fit.best_epoch, "validation": fit.validation}


def _items(folder: Path, config: Mapping[str, Any], popularity: np.ndarray | None) -> Items:
    if config["ids"] is not None:
        ids = SemanticIDs.read(folder / ITEMS)
        if ids.fingerprint() != config["ids"]["fingerprint"]:
            raise FormatError(
                f"the IDs in {folder / ITEMS} are not those that the model was trained on; train "
                "it again, or copy the whole folder"
            )
        item_ids = ids.item_ids
    else:
        ids, item_ids = None, _read_item_ids(folder / ITEMS)
        if sha256(folder / ITEMS) != config["items_sha256"]:
            raise FormatError(
                f"the items in {folder / ITEMS} are not those that the model was trained on; train "
                "it again, or copy the whole folder"
            )
    if popularity is None or popularity.shape != (len(item_ids),):
        raise FormatError(
            f"{folder} has no popularity for its {len(item_ids):,} items; its files do not belong "
            "together, copy the whole folder"
        )
    return Items(item_ids, ids, popularity)


def _read_item_ids(path: Path) -> pa.Array:
    try:
        column = pq.read_table(require_file(path, "list of the recommender's items"))["item_id"]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise FormatError(
            f"{path} is truncated or damaged ({str(error).splitlines()[0]}); copy or make it again"
        ) from error
    item_ids = as_item_ids(column)
    check_ids(item_ids)
    return item_ids


def _card(config: Mapping[str, Any], measured: Mapping[str, Measured]) -> str:
    """Markdown that says what the folder holds."""
    figures = config["figures"].get("validation", {})
    lines = [
        "---",
        "library_name: mmq",
        "tags: [semantic-ids, recommender-systems, generative-retrieval]",
        "---",
        "",
        f"# Recommender ({config['recommender']})",
        "",
        f"Recommends from {config['items']:,} items, given a user's history.",
        "",
        "```sh",
        "mmq recommend THIS_FOLDER --history ITEM,ITEM,ITEM -k 10",
        "```",
        "",
    ]
    if figures:
        lines += ["| validation | value |", "|---|---|"]
        lines += [f"| {name} | {value:.4f} |" for name, value in figures.items()]
        lines.append("")
    for part, each in measured.items():
        lines += [f"{part.capitalize()} part: {each.sentence()}.", ""]
    lines += ["| setting | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in config["settings"].items()]
    return "\n".join(lines) + f"\n\nMade by mmq {config['mmq']}.\n"

"""Parts that belong together -> a release, whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmq._artifacts import write_folder
from mmq.data._parquet import CatalogueFile
from mmq.decoding import write_index
from mmq.errors import DataError
from mmq.model import folder_format
from mmq.recommenders import HeterRec
from mmq.release._code_words import write_code_words
from mmq.release._manifest import (
    MANIFEST,
    ReleaseManifest,
    read_manifest,
    require_name,
    write_manifest,
)
from mmq.release._models import IDS, INDEX, Models, load_models
from mmq.release._shown import write_shown
from mmq.reports._sources import open_sources
from mmq.reports._survey import PICTURES
from mmq.semantic_ids import SemanticIDs


@dataclass(frozen=True)
class Parts:
    """What a release is made of.

    Attributes:
        ids: the ID table that it recommends from; it may have items that the models have not seen.
        model: folder of the recommender.
        tokenizer: folder of the tokenizer that made the table; None for IDs made elsewhere, whose
            service encodes no items and finds no similar ones.
        ranker: folder of a ranker.
        catalogue: titles, pictures and attributes of the items.
    """

    ids: str | Path
    model: str | Path
    tokenizer: str | Path | None = None
    ranker: str | Path | None = None
    catalogue: str | Path | None = None

    @property
    def folders(self) -> dict[str, Path]:
        """Family -> folder of the model, for those that are given."""
        given = {"tokenizer": self.tokenizer, "recommender": self.model, "ranker": self.ranker}
        return {family: Path(path) for family, path in given.items() if path is not None}


def write_release(parts: Parts, out: str | Path) -> ReleaseManifest:
    """The manifest of a release, whose folder is written.

    Args:
        parts: that belong together.
        out: the folder to make; its name is that of the release. Nothing may be there: a release
            never changes.

    Raises:
        DataError: something is there already, a part is missing, or items are unknown.
        FormatError: a part is damaged, or is not of the same tokenizer and table as the others.
        SettingsError: the folder's name is no name for a release.
    """
    out = Path(out)
    _require_free(out)
    catalogue = None if parts.catalogue is None else Path(parts.catalogue)
    tokenizer = None if parts.tokenizer is None else Path(parts.tokenizer)
    sources = open_sources(Path(parts.ids), catalogue, tokenizer)
    models = load_models(parts.folders, sources.ids)
    attributes, rows = _attributes(sources.catalogue, sources.ids)
    with write_folder(out, MANIFEST) as folder:
        _copy_models(parts.folders, folder)
        sources.ids.write(folder / IDS)
        if isinstance(models.recommender, HeterRec):
            write_index(folder / INDEX, models.recommender.index)
        write_shown(folder, attributes, rows)
        write_code_words(folder, sources.ids, _readable(attributes, rows))
        write_manifest(folder, out.name, _now(), _facts(models, sources.ids))
        _protect(folder)
    return read_manifest(out)


def _require_free(out: Path) -> None:
    require_name(out.name)
    if out.exists():
        raise DataError(
            f"{out} is there already, and a release never changes; choose another name with --out"
        )


def _protect(folder: Path) -> None:
    """Nobody changes a file of a release by mistake: all of them are read-only."""
    for path in (each for each in folder.rglob("*") if each.is_file()):
        path.chmod(0o444)


def _copy_models(folders: dict[str, Path], target: Path) -> None:
    """The files that make up each model, and no others."""
    for family, source in folders.items():
        (target / family).mkdir()
        for name in folder_format(family).model_files:
            if (source / name).is_file():
                shutil.copyfile(source / name, target / family / name)


def _attributes(file: CatalogueFile | None, ids: SemanticIDs) -> tuple[pa.Table, np.ndarray]:
    """Attributes of a catalogue, and the row in them of each item of a table; -1 for none."""
    if file is None:
        return pa.table({}), np.full(len(ids), -1)
    places = ids.find(file.item_ids())
    rows = np.full(len(ids), -1)
    rows[places[places >= 0]] = np.flatnonzero(places >= 0)
    return file.attribute_table(), rows


def _readable(attributes: pa.Table, rows: np.ndarray) -> pa.Table:
    """Attributes without paths, a row for each item of the table."""
    kept = [name for name in attributes.column_names if name not in PICTURES]
    return attributes.select(kept).take(pa.array(rows, mask=rows < 0))


def _facts(models: Models, ids: SemanticIDs) -> dict[str, Any]:
    return {
        "items": len(ids),
        "new_items": models.recommender.new_items.count,
        "models": {family: model.kind for family, model in models.by_family().items()},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

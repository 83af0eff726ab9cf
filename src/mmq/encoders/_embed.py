"""An items file to a catalogue of embeddings: in batches, in bounded memory, resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from mmq._artifacts import check_writable, disk_errors, remove_folder
from mmq._progress import bar
from mmq.data._files import fingerprint
from mmq.data._items import ItemColumns
from mmq.data._npy import NpyImport, import_npy, reduced_catalogue
from mmq.encoders import Encoder, ImageEncoder, TextEncoder
from mmq.encoders._image import load_image_encoder
from mmq.encoders._rows import GrowingRows
from mmq.encoders._sources import Sources, image_batches, read_sources, text_batches
from mmq.encoders._template import TextTemplate
from mmq.encoders._text import load_text_encoder
from mmq.encoders._versions import library_versions, model_files
from mmq.errors import DataError, SettingsError
from mmq.made_from import Checkpoint, begin, file_input

T = TypeVar("T")


@dataclass(frozen=True)
class Embedding:
    """What :func:`embed` is to do.

    Attributes:
        items: the items file.
        text: which columns make the text of an item; None leaves texts out.
        columns: the id, the image column (None leaves images out) and what else to keep.
        text_encoder: a name, a folder or an encoder.
        image_encoder: the same for images.
        reduce: dimensions to reduce wider modalities to by PCA; None for no PCA.
        reduce_like: an older catalogue whose PCA is applied instead of fitting one.
        batch_size: items encoded, and kept, at a time.
        device: ``auto``, ``cpu`` or ``cuda``.
        skip_bad_images: whether an image that cannot be read counts as missing.

    Raises:
        SettingsError: there is nothing to embed, the batch size is not positive, or an attribute
            has the name of a modality.
    """

    items: Path
    text: TextTemplate | None = None
    columns: ItemColumns = field(default_factory=ItemColumns)
    text_encoder: str | TextEncoder = "minilm"
    image_encoder: str | ImageEncoder = "effnet-lite0"
    reduce: int | None = None
    reduce_like: Path | None = None
    batch_size: int = 64
    device: str = "auto"
    skip_bad_images: bool = False

    def __post_init__(self) -> None:
        if not self.modalities:
            raise SettingsError(
                "there is nothing to embed; give --text-columns, --text-template or --image-column"
            )
        if self.batch_size < 1:
            raise SettingsError(f"--batch-size {self.batch_size} should be 1 or more")
        for name in self.columns.attributes:
            if name == "item_id" or name in self.modalities:
                raise SettingsError(
                    f"--attribute {name}: the catalogue keeps something else under that name; "
                    "rename the column or leave it out"
                )

    @property
    def modalities(self) -> dict[str, str | TextEncoder | ImageEncoder]:
        """``text``, ``image`` or both, with their encoders."""
        encoders: dict[str, str | TextEncoder | ImageEncoder] = {}
        if self.text is not None:
            encoders["text"] = self.text_encoder
        if self.columns.image is not None:
            encoders["image"] = self.image_encoder
        return encoders

    def inputs(self) -> dict[str, Any]:
        """Everything that decides what the catalogue holds; see :mod:`mmq.made_from`."""
        return {
            "items": file_input(self.items, fingerprint(self.items)),
            "text columns": self.text and [list(sentence) for sentence in self.text.sentences],
            "columns": dataclasses.asdict(self.columns),
            "encoders": {name: _name(self, name) for name in self.modalities},
            "reduce": self.reduce,
            "reduce-like": self.reduce_like
            and file_input(self.reduce_like, fingerprint(self.reduce_like)),
            "skip-bad-images": self.skip_bad_images,
        }


def embed(
    task: Embedding,
    out: str | Path,
    resume: bool = False,
    inputs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the catalogue of an items file and give back a summary.

    Finished batches are kept in a folder beside ``out``; after a kill, the same call with
    ``resume`` goes on from there and the catalogue comes out byte for byte the same.

    Args:
        task: what to do.
        out: the file to make.
        resume: whether to go on from what a killed run finished.
        inputs: what the catalogue is made from, to be kept in the file.

    Returns:
        ``items``, ``modalities`` (name -> ``encoder``, ``dimension``, ``missing``,
        ``items_per_second`` and, where it was reduced, ``explained_variance``), ``bad_images``
        (left out, see ``skip_bad_images``) and ``out``.

    Raises:
        DataError: the items file, a column, an image, or the older catalogue is no good.
        FormatError: a file is truncated or damaged.
        MissingExtraError: the extra ``encoders`` is needed.
        SettingsError: what was given contradicts itself, or the unfinished run was another one.
    """
    folder = Path(f"{out}.partial")
    files = {name: folder / f"{name}.npy" for name in task.modalities}
    source = NpyImport(task.items, files, task.columns, task.reduce, task.reduce_like)
    check_writable(out, source.files())
    _check_older(task)
    sources = read_sources(task.items, task.columns, task.text, task.skip_bad_images)
    if task.reduce is not None and task.reduce >= len(sources.ids):
        raise SettingsError(
            f"{len(sources.ids):,} items cannot be reduced to {task.reduce} dimensions; choose "
            f"--reduce below {len(sources.ids):,}"
        )
    encoders = _load(task)
    speeds = {}
    with disk_errors(folder):
        begin(Checkpoint(folder, _made_from(task), resume))
        for name, encoder in encoders.items():
            with GrowingRows(
                files[name], (len(sources.ids), encoder.dimension), task.batch_size
            ) as rows:
                speeds[name] = _encode(name, encoder, _batches(name, task, sources, rows), rows)
    result = import_npy(source, out, inputs)
    for name, summary in result["modalities"].items():
        summary |= {"encoder": _name(task, name), "items_per_second": speeds[name]}
    result["bad_images"] = _count_bad(sources, files)
    remove_folder(folder)
    return result


_Batches = Generator[tuple[pa.Array, list[T | None]], None, None]


def _batches(name: str, task: Embedding, sources: Sources, rows: GrowingRows) -> _Batches[Any]:
    """Ids and inputs of the batches that are not in ``rows`` yet."""
    start, size = rows.rows, task.batch_size
    batches: Generator[list[Any], None, None]
    if name == "text":
        batches = text_batches(sources, start, size)
    else:
        batches = image_batches(sources, start, size, task.skip_bad_images)
    with contextlib.closing(batches):
        for batch in batches:
            yield sources.ids.slice(start, len(batch)), batch
            start += len(batch)


def _encode(
    name: str, encoder: Encoder[T], batches: _Batches[T], rows: GrowingRows
) -> float | None:
    """Encode all batches; the speed in items/s, None where there was none to do."""
    before, start = rows.rows, time.perf_counter()
    with (
        contextlib.closing(batches),
        bar(f"embedding {name}", rows.shape[0], done=before) as advance,
    ):
        for ids, batch in batches:
            present = np.array([value is not None for value in batch])
            matrix = np.full((len(batch), rows.shape[1]), np.nan, dtype=np.float32)
            if present.any():
                matrix[present] = encoder.encode([value for value in batch if value is not None])
            _check_finite(name, ids, matrix, present)
            rows.append(matrix)
            advance(len(batch))
    encoded = rows.rows - before
    return round(encoded / (time.perf_counter() - start), 1) if encoded else None


def _check_finite(name: str, ids: pa.Array, matrix: np.ndarray, present: np.ndarray) -> None:
    bad = np.flatnonzero(present & ~np.isfinite(matrix).all(axis=1))
    if len(bad):
        raise DataError(
            f"the {name} encoder gave NaN or infinity for item {ids[int(bad[0])].as_py()!r}; "
            "use another encoder"
        )


def _check_older(task: Embedding) -> None:
    """That the older catalogue has the same modalities, before hours of encoding."""
    if task.reduce_like is None:
        return
    old = reduced_catalogue(task.reduce_like).dimensions
    if set(old) != set(task.modalities):
        raise DataError(
            f"{task.reduce_like} has the modalities {', '.join(old)}, this run has "
            f"{', '.join(task.modalities)}; embed the same ones"
        )


def _load(task: Embedding) -> dict[str, Encoder[Any]]:
    loaders: dict[str, Callable[[str, str], Encoder[Any]]]
    loaders = {"text": load_text_encoder, "image": load_image_encoder}
    return {
        name: loaders[name](encoder, task.device) if isinstance(encoder, str) else encoder
        for name, encoder in task.modalities.items()
    }


def _name(task: Embedding, modality: str) -> str:
    encoder = task.modalities[modality]
    return encoder if isinstance(encoder, str) else type(encoder).__qualname__


def _made_from(task: Embedding) -> dict[str, Any]:
    """All that decides what the batches hold, by names to tell the user."""
    encoders = {name: _name(task, name) for name in task.modalities}
    return {
        "items": fingerprint(task.items),
        "id column": task.columns.item_id,
        "text columns": task.text and [list(sentence) for sentence in task.text.sentences],
        "image column": task.columns.image,
        "encoders": encoders,
        "model files": {name: model_files(Path(model)) for name, model in encoders.items()},
        "batch size": task.batch_size,
        "device": task.device,
        "library versions": library_versions(),
    }


def _count_bad(sources: Sources, files: Mapping[str, Path]) -> int:
    """Images that have a path and no embedding."""
    if sources.images is None:
        return 0
    missing = np.isnan(np.load(files["image"], mmap_mode="r")[:, 0])
    return int((missing & sources.images.is_valid().to_numpy()).sum())

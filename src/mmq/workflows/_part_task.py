"""A part of a catalogue -> a part of an ID table: what any process can do by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmq._artifacts import disk_errors
from mmq.data._item_ids import ItemIndex
from mmq.data._parquet import CatalogueFile
from mmq.semantic_ids import CatalogueRef, Lacking, Manifest, SemanticIDs
from mmq.semantic_ids._lacking import LackingRef
from mmq.semantic_ids._table_file import read_table
from mmq.semantic_ids._table_folder import NOTE
from mmq.tokenizers import Tokenizer
from mmq.tokenizers._encoding import encode_part
from mmq.workflows._id_table import check_replaced


@dataclass(frozen=True)
class PartTask:
    """A part that is to be encoded.

    Attributes:
        name: of the part, inside the folders.
        source: file of the catalogue.
        folder: where the part of the table goes, under the same name.
        manifest: of the whole table; its catalogue is not known yet.
        force: whether a part of other inputs is replaced.
    """

    name: str
    source: Path
    folder: Path
    manifest: Manifest
    force: bool

    @property
    def target(self) -> Path:
        """The file to write."""
        return self.folder / self.name


class PartDone(NamedTuple):
    """A part of the table that lies on disk.

    Attributes:
        fingerprint: content hash of the part of the catalogue.
        new: items of it that are in the part of the table; where there are none, there is no file.
        encoded: how many of them were encoded now.
        lacking: who of them lacks what, as a manifest says it.
    """

    fingerprint: str
    new: int
    encoded: int
    lacking: Mapping[str, LackingRef] | None


def run_part(
    task: PartTask,
    tokenizer: Tokenizer[Any],
    known: ItemIndex | None = None,
    advance: Callable[..., None] = lambda items: None,
) -> PartDone:
    """Encode a part, or leave it where a whole one of the same inputs is there.

    A part is what ``mmq encode`` makes of its file alone, so that no two parts need to know of each
    other.

    Args:
        task: what to do.
        tokenizer: that makes the codes.
        known: items to leave out.
        advance: called with the items done.

    Raises:
        DataError: a part of other inputs is there, or an embedding cannot be encoded.
    """
    part = CatalogueFile(task.source)
    if task.target.exists() and not task.force:
        return _kept(task, part, advance)
    made = encode_part(part, tokenizer, known, advance)
    codes, absent = made.encoded
    lacking = Lacking.of(codes, absent, tokenizer.positions).to_manifest()
    if len(codes):
        manifest: Manifest = {**_of_part(task, made.fingerprint, len(part)), "lacking": lacking}
        with disk_errors(task.target):
            (task.folder / NOTE).unlink(missing_ok=True)  # until it is finished anew
            SemanticIDs.build(made.item_ids, codes, tokenizer.codebook_sizes, manifest).write(
                task.target
            )
    return PartDone(made.fingerprint, len(codes), len(codes), lacking)


def _kept(task: PartTask, part: CatalogueFile, advance: Callable[..., None]) -> PartDone:
    """What is there, if it was made from the same inputs."""
    fingerprint = part.fingerprint()
    check_replaced(task.target, _of_part(task, fingerprint, len(part)), None, force=False)
    stored = read_table(task.target)
    advance(len(part))
    return PartDone(fingerprint, len(stored.table), 0, stored.manifest.get("lacking"))


def _of_part(task: PartTask, fingerprint: str, items: int) -> Manifest:
    return {**task.manifest, "catalogue": CatalogueRef(fingerprint=fingerprint, items=items)}

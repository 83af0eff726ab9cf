"""A catalogue and a tokenizer -> semantic IDs in a folder, a part for every part of the catalogue.

Every part is written whole, under the name of the catalogue's, so that a kill costs one part and
parts that are there are kept. Then ranks are given over all parts, and a note is written that says
which they are (:mod:`mmq.semantic_ids._table_folder`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from mmq._artifacts import beside, disk_errors, remove_folder
from mmq._locks import sweep_folder
from mmq._model_folder import fingerprint
from mmq._progress import bar
from mmq.data._catalogue import joint_hash
from mmq.data._item_ids import ItemIndex
from mmq.data._parquet import CatalogueFile
from mmq.data._part_ids import check_part_ids
from mmq.made_from import Checkpoint, begin
from mmq.semantic_ids import CatalogueRef, Lacking, Manifest, SemanticIDs, build_manifest
from mmq.semantic_ids._append import check_appendable
from mmq.semantic_ids._append_folder import append_parts
from mmq.semantic_ids._lacking import LackingRef
from mmq.semantic_ids._table_folder import finish
from mmq.tokenizers import Tokenizer
from mmq.tokenizers._reference import reference
from mmq.workflows._part_task import PartDone, PartTask, run_part
from mmq.workflows._parts_target import check_apart, check_folder, check_made_alike
from mmq.workflows._ray import RayJob
from mmq.workflows._run import Run, locks_out

Engine = Literal["local", "ray"]
Noted = Mapping[str, LackingRef] | None

_NOBODY: Noted = {}


@locks_out
def encode_parts(
    catalogue: str | Path,
    tokenizer: str | Path,
    out: str | Path,
    *,
    append: str | Path | None = None,
    engine: Engine = "local",
    run: Run = Run(),
) -> dict[str, Any]:
    """Figures of a folder of semantic IDs, which is written to ``out``, in bounded memory.

    :meth:`SemanticIDs.read` gives the table that :func:`encode` makes of one file with the same
    items. Parts that are there and were made from the same inputs are kept.

    Args:
        catalogue: the catalogue: a folder of parts, a pattern or a file.
        tokenizer: folder of the tokenizer.
        out: the folder to write.
        append: an older table, file or folder, to which new items are added; its rows stay as they
            are, and are in memory.
        engine: "local", one part after the other, or "ray", on the machines of a Ray cluster.
        run: device, force; resume where ``append`` is given.

    Raises:
        DataError: no such catalogue, an item id in two parts, or ``out`` holds something else.
        FormatError: a damaged file, or the older table is of another tokenizer.
        MissingExtraError: ``ray`` is not installed.

    Example: ``figures = encode_parts("catalogue", "tokenizer", "ids")``
    """
    work = _Work(CatalogueFile(catalogue), Path(tokenizer), Path(out), engine, run)
    check_part_ids(work.parts)
    started = time.monotonic()
    done, old_items = (work.anew(), 0) if append is None else work.after(Path(append))
    seconds = time.monotonic() - started
    added, given = sum(each.new for each in done), len(work.file)
    return {
        **{"added": added, "kept": given - added, "moved": 0, "items": old_items + added},
        **{"length": work.tokenizer.length, "parts": len(done), "seconds": round(seconds, 3)},
        "items_per_second": sum(each.encoded for each in done) / max(seconds, 1e-9),
        "out": str(out),
    }


class _Work:
    """What one call of :func:`encode_parts` reads, checked, and its two ways to go."""

    def __init__(
        self, file: CatalogueFile, tokenizer: Path, out: Path, engine: Engine, run: Run
    ) -> None:
        check_apart(out, file)
        self.file, self.folder, self.out, self.engine, self.run = file, tokenizer, out, engine, run
        self.parts = file.parts()
        self.tokenizer: Tokenizer[Any] = Tokenizer.load(tokenizer, run.device)
        self.tokenizer.require_inputs(file)
        self.manifest = build_manifest(
            self.tokenizer.codebook_sizes,
            tokenizer=reference(self.tokenizer, fingerprint(tokenizer)),
            ordered=self.tokenizer.ordered,
        )

    def anew(self) -> list[PartDone]:
        """Make the table of the catalogue."""
        check_folder(self.out, list(self.parts), self.manifest, self.run.force)
        done = self._encoded(self.out, None, self.run.force)
        sweep_folder(self.out)
        with disk_errors(self.out):
            finish(self.out, list(self.parts), self._whole(done))
        return done

    def after(self, path: Path) -> tuple[list[PartDone], int]:
        """Add the new items to an older table; how many items it had comes back as well."""
        old = SemanticIDs.read(path)
        check_appendable(old, self.file.item_ids(), self.manifest)
        check_made_alike(self.out, self.manifest, path, self.run.force)
        inputs = {"old table": old.fingerprint(), "tokenizer": self.manifest["tokenizer"]}
        stage = Checkpoint(beside(self.out, "partial"), inputs, self.run.resume)
        begin(stage)
        done = self._encoded(stage.path, old.item_ids, False)
        pairs = zip(self.parts, done, strict=True)
        new = [(name, stage.path / name) for name, each in pairs if each.new]
        append_parts(
            path, old, new, self._whole(done, old.manifest.get("lacking", _NOBODY)), self.out
        )
        remove_folder(stage.path)
        return done, len(old)

    def _encoded(self, folder: Path, known: pa.Array | None, force: bool) -> list[PartDone]:
        """Encode every part that is not there."""
        tasks = [
            PartTask(name, part.path, folder, self.manifest, force)
            for name, part in self.parts.items()
        ]
        with bar("encode", len(self.file)) as advance:
            if self.engine == "ray":
                job = RayJob(self.folder, self.run.device, known)
                return job.run(tasks, advance)
            index = None if known is None else ItemIndex(known)
            return [run_part(task, self.tokenizer, index, advance) for task in tasks]

    def _whole(self, done: Sequence[PartDone], before: Noted = _NOBODY) -> Manifest:
        """The manifest of all parts.

        Args:
            done: the parts.
            before: what the manifest of an older table says of items that lack a modality.
        """
        catalogue = joint_hash([each.fingerprint for each in done])
        noted = [before, *(each.lacking for each in done)]
        lacking = None
        if None not in noted:
            each = [Lacking.from_manifest(one) for one in noted if one is not None]
            lacking = reduce(add, each).to_manifest()
        return {
            **self.manifest,
            "catalogue": CatalogueRef(fingerprint=catalogue, items=len(self.file)),
            "lacking": lacking,
        }

"""What is asked of the place where an ID table in parts is to go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmq._artifacts import beside, check_parents, check_replaceable
from mmq.data._files import table_parts
from mmq.data._parquet import CatalogueFile
from mmq.errors import DataError
from mmq.semantic_ids import Manifest
from mmq.semantic_ids._table import read_manifest
from mmq.semantic_ids._table_folder import NOTE
from mmq.workflows._id_table import check_replaced


def is_folder(out: Path) -> bool:
    """Whether a table is to be a folder of parts: one that is there, or a name without .parquet."""
    return out.is_dir() or not (out.is_file() or out.suffix in (".parquet", ".pq"))


def check_apart(out: Path, file: CatalogueFile) -> None:
    """Raise :class:`DataError` if the table would lie among the parts of the catalogue."""
    check_parents(out)
    beside(out, "partial")  # it has a name of its own
    place, source = out.resolve(), file.path.resolve()
    taken = source.is_dir() and source in (place, *place.parents)
    if taken or any(part.path.resolve().parent == place for part in file.parts().values()):
        raise DataError(f"{out} is where the catalogue lies; choose another --out")


def check_folder(out: Path, names: Sequence[str], manifest: Manifest, force: bool) -> None:
    """Raise :class:`DataError` unless the parts of a table can be written to a folder.

    To be called before long work; that a part that is there is of the same items is found when its
    turn comes.

    Args:
        out: the folder.
        names: of the parts.
        manifest: of the table; its catalogue is not known yet.
        force: whether parts of other inputs are replaced.
    """
    if out.is_file():
        raise DataError(f"{out} is a file, not a folder; choose another --out")
    there = list(out.iterdir()) if out.is_dir() else []
    if not any(not each.name.startswith(("_", ".")) for each in there):
        return
    for part in table_parts(out):
        name = part.path.relative_to(out).as_posix()
        if name not in names:
            raise DataError(
                f"{part.path} is none of the {len(names):,} parts of the catalogue; move it out of "
                "the folder, or choose another --out"
            )
        _check_like(part.path, manifest, None, force)


def check_made_alike(out: Path, manifest: Manifest, append: Path, force: bool) -> None:
    """Raise :class:`DataError` if what stands at ``out`` is no table that may be replaced.

    Args:
        out: the folder.
        manifest: of the table.
        append: the table that it goes on from.
        force: whether a table of other inputs is replaced.
    """
    check_replaceable(out, NOTE)
    if out.exists():
        _check_like(out, manifest, append, force)


def _check_like(path: Path, manifest: Manifest, append: Path | None, force: bool) -> None:
    found = read_manifest(path)
    catalogue = None if found is None else found["catalogue"]
    check_replaced(path, {**manifest, "catalogue": catalogue}, append, force)

"""A world on disk: ``catalogue/`` and ``interactions/``, Parquet in parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from benchmarks.world.items import catalogue_part
from benchmarks.world.settings import World
from benchmarks.world.tree import Tree
from benchmarks.world.users import events_part
from mmq._formats import read_json, write_json
from mmq.data import Interactions, write_catalogue, write_interactions
from mmq.errors import DataError

SETTINGS = "world.json"


def make_world(world: World, out: str | Path) -> Iterator[Path]:
    """The files of a world, as each is whole; a run that was killed goes on where it stopped.

    Args:
        world: its settings, which are kept beside the files.
        out: the folder, with ``catalogue/part-00000.parquet`` and on, and ``interactions/``.

    Raises:
        DataError: another world is there.
    """
    out = Path(out)
    _settle(world, out)
    tree = Tree.of(world)
    for part in range(world.part_count):
        for write in (write_catalogue_part, write_interactions_part):
            yield write(world, tree, out, part)


def write_catalogue_part(world: World, tree: Tree, out: Path, part: int) -> Path:
    """The file of a part of the items, made if it is not there."""
    path = out / "catalogue" / f"part-{part:05d}.parquet"
    if not path.exists():
        write_catalogue(path, catalogue_part(world, tree, part))
    return path


def write_interactions_part(world: World, tree: Tree, out: Path, part: int) -> Path:
    """The file of what a part of the users did, made if it is not there."""
    path = out / "interactions" / f"part-{part:05d}.parquet"
    if not path.exists():
        events = events_part(world, tree, part)
        table = pa.table(
            {
                "user_id": events.users,
                "item_id": events.items,
                "timestamp": pa.array(events.times * 10**6).cast(pa.timestamp("us")),
            }
        )
        write_interactions(path, Interactions(table))
    return path


def _settle(world: World, out: Path) -> None:
    """Keep the settings, or refuse those of another world."""
    path = out / SETTINGS
    if path.exists():
        if World.parse_saved(read_json(path, "world")) != world:
            raise DataError(f"{out} holds another world; give another folder, or delete it")
        return
    for name in ("catalogue", "interactions"):
        (out / name).mkdir(parents=True, exist_ok=True)
    write_json(path, world.to_dict())

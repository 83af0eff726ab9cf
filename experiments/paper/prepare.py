"""What is asked of a reproduction, checked before anything long is begun."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.data import BEHAVIOUR
from experiments.paper.cost import Size, alike, estimate
from experiments.paper.folders import DATA
from experiments.paper.marker import MARKER, OtherReproductionError, clear, mark_folder, marked
from experiments.paper.plan import (
    ARTEFACTS,
    ITEM_IDS,
    PARTS,
    POPULARITY,
    RANKING,
    SASREC,
    Cell,
    Own,
    Plan,
    make_plan,
)
from experiments.paper.scales import Scale
from experiments.paper.variants import variants
from experiments.paper.worlds import (
    Setup,
    catalogue_of,
    has_ratings,
    own_rows,
    ranking_world,
    retrieval_world,
    sorted_out,
)
from experiments.runner import finished, results
from mmq._artifacts import check_replaceable, made_folder, require_file, sha256
from mmq.data import Interactions, write_catalogue, write_interactions
from mmq.data._datasets.toyshop import ToyshopSettings, toyshop
from mmq.data._files import fingerprint
from mmq.encoders._toyshop import embed_toyshop
from mmq.errors import DataError, SettingsError, UserError

TOYSHOP = "toyshop"
CATALOGUE, INTERACTIONS = "catalogue.parquet", "interactions.parquet"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        artefacts: tables and figures.
        data: a folder with catalogue.parquet and interactions.parquet, or None for the toyshop.
        out: folder of cells and results.
        scale_name: as the user called it.
        scale: its settings.
        seeds: how many, from 0.
        parts: some of quantisation, retrieval and ranking; None for all that the log allows.
        columns: name of a column of the log -> its name in the file, where they differ.
        own: files with rows of the user's own.
        device: "auto", "cpu" or "cuda".
    """

    artefacts: tuple[str, ...]
    data: Path | None
    out: Path
    scale_name: str
    scale: Scale
    seeds: int
    parts: tuple[str, ...] | None = None
    columns: tuple[tuple[str, str], ...] = ()
    own: tuple[Path, ...] = ()
    device: str = "auto"


class Shown(NamedTuple):
    """What a report shows: all that was asked for in its folder, now or before.

    Attributes:
        artefacts: tables and figures.
        parts: of their rows.
        seeds: of their cells.
        plan: of all of it.
    """

    artefacts: tuple[str, ...]
    parts: tuple[str, ...]
    seeds: tuple[int, ...]
    plan: Plan


class Prepared(NamedTuple):
    """A request whose inputs were checked.

    Attributes:
        request: what was asked for.
        setup: of the cells.
        plan: all cells that are asked for.
        shown: those, and of earlier runs in the same folder: what the report shows.
        size: of the data.
        about: of the data, for the report.
    """

    request: Request
    setup: Setup
    plan: Plan
    shown: Shown
    size: Size
    about: dict[str, Any]

    def left(self) -> list[Cell]:
        """Cells that are not there yet."""
        return [cell for cell in self.plan.cells if not finished(self.request.out, cell)]

    def seconds(self, cells: Sequence[Cell]) -> dict[str, float]:
        """Name of each cell -> about how long it takes on one core."""
        known: dict[str, list[float]] = {}
        found = results(self.plan.cells, self.request.out)
        for cell in self.plan.cells:
            if cell.name in found:
                known.setdefault(alike(cell), []).append(found[cell.name]["seconds"])
        mean = {name: float(np.mean(each)) for name, each in known.items()}
        scale = self.request.scale
        return {cell.name: estimate(cell, scale, self.size, mean) for cell in cells}


def prepare(request: Request, force: bool = False) -> Prepared:
    """Check what is asked for, and plan its cells; the toyshop is generated.

    Args:
        request: what is asked for.
        force: whether a reproduction of something else that is in the folder is removed.

    Raises:
        DataError: data that are missing or do not suffice, or a folder of something else.
        SettingsError: a setting or a row of the user's that is wrong.
    """
    check_replaceable(request.out, MARKER)
    own = sorted_out(own_rows(request.own))
    if request.own and "table1" not in request.artefacts:
        raise SettingsError(
            "rows of your own stand in table1; make table1 or all, or leave --own out"
        )
    with _undone(request.out):
        try:
            return _prepare(request, own)
        except OtherReproductionError:
            if not force:
                raise
        clear(request.out)
        return _prepare(request, own)


@contextlib.contextmanager
def _undone(out: Path) -> Iterator[None]:
    """Leave no folder behind that was not there before, where a mistake is found."""
    new = not out.exists()
    try:
        yield
    except UserError:
        if new:
            shutil.rmtree(out, ignore_errors=True)
        raise


def _prepare(request: Request, own: Own) -> Prepared:
    folder = request.data or request.out / DATA
    if request.data is None:
        # before anything is made, so that a killed run can go on
        mark_folder(request.out, {"scale": request.scale.to_dict()})
        _generate(request, folder)
    setup = Setup(
        require_file(folder / CATALOGUE, "catalogue"),
        require_file(folder / INTERACTIONS, "interaction log"),
        request.columns,
        request.scale,
        tuple(range(request.seeds)),
        request.own,
        request.device,
    )
    modalities = catalogue_of(setup).modalities
    if BEHAVIOUR in modalities:
        raise DataError(
            f"the catalogue has a modality '{BEHAVIOUR}', which a reproduction makes itself, of "
            "the training part alone; give the catalogue without it"
        )
    can_rank = has_ratings(setup)
    parts = request.parts or tuple(part for part in PARTS if can_rank or part != RANKING)
    if RANKING in parts and not can_rank:
        raise SettingsError(
            "the log has neither labels nor ratings, so there is nothing to rank by; leave ranking "
            "out of --parts"
        )
    size, about = _survey(request, setup, RANKING in parts)
    _check_names(request.scale, modalities, own)
    searched = _searched(request, modalities)
    plan = make_plan(request.artefacts, modalities, setup.seeds, parts, own, searched)
    before = marked(request.out)
    artefacts, parts = (
        tuple(each for each in all_of if each in {*asked, *before.get(name, ())})
        for name, all_of, asked in (
            ("artefacts", ARTEFACTS, request.artefacts),
            ("parts", PARTS, parts),
        )
    )
    seeds = tuple(range(max(request.seeds, before.get("seeds", 0))))
    shown = Shown(
        artefacts, parts, seeds, make_plan(artefacts, modalities, seeds, parts, own, searched)
    )
    of = {
        "catalogue": sha256(setup.catalogue),
        "interactions": fingerprint(setup.interactions),
        "columns": dict(setup.columns),
        "scale": request.scale.to_dict(),
    }
    mark_folder(request.out, of)
    return Prepared(request, setup, plan, shown, size, about)


def _generate(request: Request, folder: Path) -> None:
    """Write a generated shop, once."""
    if (folder / INTERACTIONS).exists():
        return
    scale = request.scale
    shop = toyshop(ToyshopSettings(items=scale.shop_items, shoppers=scale.shop_shoppers))
    with made_folder(folder):
        write_catalogue(folder / CATALOGUE, embed_toyshop(shop))
        write_interactions(folder / INTERACTIONS, Interactions.build(shop.interactions))


def _survey(request: Request, setup: Setup, ranks: bool) -> tuple[Size, dict[str, Any]]:
    """Sizes of the data."""
    world = retrieval_world(setup, 0)
    catalogue = catalogue_of(setup)
    impressions = len(ranking_world(setup).data.train) if ranks else 0
    liked = int(world.data.train.lengths.sum())
    about = {
        "name": request.data.resolve().name if request.data else TOYSHOP,
        "items": len(catalogue),
        "users": len(world.users),
        "interactions": liked,
        "modalities": dict(catalogue.dimensions),
        "ranking_rows": impressions or None,
    }
    return Size(len(catalogue), liked, impressions), about


def _searched(request: Request, modalities: Sequence[str]) -> dict[str, str]:
    """Tokenizers whose settings are searched -> the row that is searched."""
    if request.scale.trials == 1:
        return {}
    known = variants(modalities)
    return {
        name: each.tuned_as
        for name, each in known.items()
        if each.tuned_as not in request.scale.tuned
    }


def _check_names(scale: Scale, modalities: Sequence[str], own: Own) -> None:
    """Refuse rows that there are not, and rows that there are already."""
    known = variants(modalities)
    for name in (*own.tokenizers, *own.recommenders):
        if name in (*known, POPULARITY, SASREC, ITEM_IDS):
            raise SettingsError(f"there is a row '{name}' already; give yours another name")
    for name in scale.tuned:
        if name not in known:
            raise SettingsError(
                f"tuned names a row '{name}' that there is not; give one of {', '.join(known)}"
            )

"""Which cells the tables and figures of the paper are made of, and in which order they can run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from experiments.paper.variants import (
    ABLATIONS,
    BY_GRADIENT,
    MMQ,
    WITH_BEHAVIOUR,
    ablated,
    baselines,
    length_of,
    lengths,
    specific_only,
)
from mmq.ranking import PPNet
from mmq.recommenders import Popularity, SASRec

ARTEFACTS = ("table1", "table2", "figure3", "figure4", "figure5", "figure6")
QUANTISATION, RETRIEVAL, RANKING = PARTS = ("quantisation", "retrieval", "ranking")
"""What is measured of a row; the first is of its tokenizer alone."""
TUNING = "tuning"
"""The search for the settings of a tokenizer, which is a cell too."""

LONGER, JOINTLY, ALTERNATING = "trained longer", "fine-tuned", "fine-tuned, alternating"
"""Stages after the first: the control, the paper's way (Eq. 15-19) and ours."""
ITEM_TOKENS = "item tokens"
"""No stage after another: a retrieval model whose items have tokens of their own beside codes."""
SHUFFLED = "item tokens, codes shuffled"
"""The control: every item has the codes of another, which say nothing of its content."""

POPULARITY, SASREC, ITEM_IDS = Popularity.label, SASRec.label, f"{PPNet.label}, item IDs"


class Row(NamedTuple):
    """A row of a table, or a point of a figure.

    Attributes:
        variant: its tokenizer, or the model where it has none.
        stage: what its model went through after its training, or that it has item tokens; empty
            for nothing.
        parts: what is measured of it.
    """

    variant: str
    stage: str = ""
    parts: tuple[str, ...] = PARTS

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return f"{self.variant}, {self.stage}" if self.stage else self.variant


class Cell(NamedTuple):
    """A fit and what was measured of it; done once, whatever tables it occurs in.

    Attributes:
        part: one of :data:`PARTS`, or :data:`TUNING`.
        row: of the first table that it occurs in.
        seed: of everything random.
        world: whose training part behaviour is taken from, where the tokenizer sees it; empty
            otherwise.
    """

    part: str
    row: Row
    seed: int
    world: str = ""

    @property
    def name(self) -> str:
        """Tells it from all others; it is the name of its folder."""
        world = f" of {self.world}" if self.world else ""
        return f"{self.part}, {self.row.name}{world}, seed {self.seed}"


class Plan(NamedTuple):
    """What is to be made.

    Attributes:
        rows: table or figure -> its rows.
        cells: all that they need, every cell after those that it needs; seed by seed.
        needs: name of a cell -> names of the cells that it goes on from.
    """

    rows: dict[str, list[Row]]
    cells: list[Cell]
    needs: dict[str, list[str]]


class Own(NamedTuple):
    """Rows that the user adds to Table 1: names of tokenizers, and of retrieval models."""

    tokenizers: tuple[str, ...] = ()
    recommenders: tuple[str, ...] = ()


def make_plan(
    artefacts: Iterable[str],
    modalities: Sequence[str],
    seeds: Iterable[int],
    parts: Sequence[str],
    own: Own | None = None,
    searched: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """The cells of some tables and figures.

    Args:
        artefacts: some of :data:`ARTEFACTS`.
        modalities: of the catalogue.
        seeds: every cell is made with each.
        parts: some of :data:`PARTS`; where the log has no ratings there is no ranking.
        own: of the user.
        searched: name of a tokenizer -> the row whose search finds its settings, where one does.
    """
    own = own or Own()
    rows = {name: ROWS[name](modalities) for name in artefacts}
    if "table1" in rows:
        rows["table1"] += [Row(name) for name in own.tokenizers]
        rows["table1"] += [Row(name, parts=(RETRIEVAL,)) for name in own.recommenders]
    cells: dict[str, Cell] = {}
    needs: dict[str, list[str]] = {}

    def add(cell: Cell) -> None:
        if cell.name not in cells:
            before = [] if cell.row.variant in own.recommenders else _before(cell, searched)
            for each in before:
                add(each)
            cells[cell.name] = cell
            needs[cell.name] = [each.name for each in before]

    for seed in seeds:
        for row in (row for group in rows.values() for row in group):
            for part in parts:
                if part in row.parts:
                    add(cell_of(row, part, seed))
    return Plan(rows, list(cells.values()), needs)


def cell_of(row: Row, part: str, seed: int) -> Cell:
    """The cell that a part of a row is measured in."""
    seen = part == QUANTISATION and row.variant == WITH_BEHAVIOUR
    return Cell(part, row._replace(parts=PARTS), seed, RETRIEVAL if seen else "")


def tokenizer_cell(cell: Cell) -> Cell:
    """The cell of the tokenizer whose IDs a model reads."""
    world = cell.part if cell.row.variant == WITH_BEHAVIOUR else ""
    return Cell(QUANTISATION, Row(cell.row.variant), cell.seed, world)


def goes_on(cell: Cell) -> bool:
    """Whether its model is another one, taken further."""
    return cell.row.stage in (LONGER, JOINTLY, ALTERNATING)


def has_tokens(cell: Cell) -> bool:
    """Whether items have tokens of their own in its model."""
    return cell.row.stage in (ITEM_TOKENS, SHUFFLED)


def start_cell(cell: Cell) -> Cell:
    """The cell of the model that a further stage starts from."""
    return Cell(cell.part, Row(cell.row.variant), cell.seed)


def tuning_cell(row: str) -> Cell:
    """The search for the settings of a tokenizer; one for all seeds."""
    return Cell(TUNING, Row(row), 0)


def _before(cell: Cell, searched: Mapping[str, str]) -> list[Cell]:
    """The cells that a cell goes on from."""
    variant = cell.row.variant
    if cell.part == QUANTISATION:
        return [tuning_cell(searched[variant])] if variant in searched else []
    if cell.part == TUNING or variant in (POPULARITY, SASREC, ITEM_IDS):
        return []
    tokenizer = tokenizer_cell(cell)
    return [tokenizer, start_cell(cell)] if goes_on(cell) else [tokenizer]


def _table1(modalities: Sequence[str]) -> list[Row]:
    def with_stages(variant: str) -> list[Row]:
        stages = [
            Row(variant, stage, (RETRIEVAL, RANKING)) for stage in (LONGER, JOINTLY, ALTERNATING)
        ]
        return [Row(variant), *stages, Row(variant, ITEM_TOKENS, (RETRIEVAL,))]

    return [
        Row(POPULARITY, parts=(RETRIEVAL,)),
        Row(SASREC, parts=(RETRIEVAL,)),
        Row(ITEM_IDS, parts=(RANKING,)),
        *(Row(name) for name in baselines(modalities)),
        *with_stages(MMQ),
        Row(MMQ, SHUFFLED, (RETRIEVAL,)),
        *with_stages(WITH_BEHAVIOUR),
    ]


def _table2(modalities: Sequence[str]) -> list[Row]:
    stages = [Row(BY_GRADIENT, stage, (RETRIEVAL, RANKING)) for stage in (LONGER, JOINTLY)]
    without = [Row(ablated(change)) for change in ABLATIONS]
    return [Row(BY_GRADIENT), *stages, *without, Row(MMQ)]


def _figure3(modalities: Sequence[str]) -> list[Row]:
    used = (RETRIEVAL, RANKING)
    models = [Row(SASREC, parts=(RETRIEVAL,)), Row(ITEM_IDS, parts=(RANKING,))]
    return [*models, *(Row(name, parts=used) for name in (*baselines(modalities), MMQ))]


def _figure4(modalities: Sequence[str]) -> list[Row]:
    learned = [name for name in baselines(modalities) if name.endswith("RQ-VAE")]
    used = (RETRIEVAL, RANKING)
    return [
        Row(variant, stage, used) for variant in (*learned, MMQ) for stage in ("", LONGER, JOINTLY)
    ]


def _figure5(modalities: Sequence[str]) -> list[Row]:
    m = len(modalities)
    return [Row(MMQ if n == length_of(m) else f"{MMQ}, {n} codes") for n in lengths(m)]


def _figure6(modalities: Sequence[str]) -> list[Row]:
    return [Row(MMQ), *(Row(name) for name in specific_only(len(modalities)))]


ROWS: Mapping[str, Callable[[Sequence[str]], list[Row]]] = {
    "table1": _table1,
    "table2": _table2,
    "figure3": _figure3,
    "figure4": _figure4,
    "figure5": _figure5,
    "figure6": _figure6,
}

"""Everything ``mmq inspect`` finds out about an ID table; pages and JSON are made from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq.reports._examples import (
    CodeExample,
    Collision,
    code_example,
    sample_codes,
    sample_collisions,
    sample_rows,
)
from mmq.reports._meaning import Word, Words
from mmq.reports._neighbours import Neighbour, neighbours
from mmq.reports._similar import Similar, similar
from mmq.reports._similarity import shared_code_similarity, unexplained
from mmq.reports._sources import Sources, open_sources
from mmq.reports._survey import Shown, Survey, survey
from mmq.semantic_ids import Drift, Quality, SemanticIDs, Verdict, drift, inspect_ids, verdict

SAMPLES = 3
BUCKET = 20
"""Items of its own ID that are listed for one item."""

BY_CODES = "codes_alone"
"""Key of the reconstruction measured here, beside the parts "fit" and "held_out" of the fit."""


class ItemView(NamedTuple):
    """One item among the others.

    Attributes:
        row: its row in the table.
        bucket: rows that have its semantic ID, itself included, by rank; the first
            :data:`BUCKET` of them.
        bucket_size: how many there are.
        neighbours: the items nearest to it in code space.
        similar: the items whose IDs decode to what is most like it; needs the tokenizer.
    """

    row: int
    bucket: np.ndarray
    bucket_size: int
    neighbours: list[Neighbour]
    similar: list[Similar]


class Examples(NamedTuple):
    """What a report shows of the table."""

    items: np.ndarray
    codes: list[CodeExample]
    collisions: list[Collision]


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found out.

    Attributes:
        sources: the table and what it was made from.
        quality: its statistics.
        verdict: the statistics in words.
        examples: rows that a report shows.
        survey: what the catalogue says, None without one.
        reconstruction: part -> modality -> fraction of variance unexplained; needs the tokenizer.
        similarity: group -> modality -> mean cosine of items that share a code; needs both.
        item: the item that was asked for.
        code: the code that was asked for.
        words: position and code -> what its items have in common; needs the catalogue.
        drift: what changed since an older table.
    """

    sources: Sources
    quality: Quality
    verdict: Verdict
    examples: Examples
    survey: Survey | None
    reconstruction: dict[str, dict[str, float]]
    similarity: dict[str, dict[str, float]]
    item: ItemView | None
    code: CodeExample | None
    words: Mapping[tuple[int, int], list[Word]]
    drift: Drift | None

    @property
    def ids(self) -> SemanticIDs:
        """The table."""
        return self.sources.ids

    def shown(self, row: int) -> Shown:
        """Title and picture of the item at ``row`` of the table."""
        return self.survey.shown.get(row, Shown()) if self.survey else Shown()

    def describe(self, row: int) -> dict[str, Any]:
        """Id, title (where there is one), semantic ID and rank of an item, for JSON."""
        title = self.shown(row).title
        return {
            "item_id": self.ids.item_ids[row].as_py(),
            **({"title": title} if title else {}),
            "semantic_id": self.ids.codes[row].tolist(),
            "rank": int(self.ids.rank[row]),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the statistics, the verdict, and what else was asked for."""
        result = {**self.quality.to_dict(), "verdict": self.verdict._asdict()}
        if self.survey is not None:
            facts = self.quality.facts
            result["catalogue"] = {
                "duplicates": facts.duplicates,
                "missing": dict(facts.missing),
            }
        if self.reconstruction:
            result["fvu_by_modality"] = self.reconstruction
        if self.similarity:
            result["shared_code_similarity"] = self.similarity
        if self.item is not None:
            result["item"] = self._item(self.item)
        if self.code is not None:
            result["code"] = self._code(self.code)
        if self.drift is not None:
            result["drift"] = self.drift.to_dict()
        result["warnings"] = list(self.sources.warnings)
        return result

    def _code(self, code: CodeExample) -> dict[str, Any]:
        return {
            "group": code.group,
            "position": code.position,
            "code": code.code,
            "items": code.items,
            "words": [word._asdict() for word in self.words.get((code.position, code.code), [])],
            "examples": [self.describe(row) for row in code.rows.tolist()],
        }

    def _item(self, item: ItemView) -> dict[str, Any]:
        similar = [
            {**self.describe(each.row), "cosine": round(each.cosine, 4)} for each in item.similar
        ]
        return {
            **self.describe(item.row),
            "same_id": [self.describe(row) for row in item.bucket.tolist()],
            "same_id_items": item.bucket_size,
            "neighbours": [
                {**self.describe(near.row), "shared_codes": near.shared_codes}
                for near in item.neighbours
            ],
            **({"similar": similar} if similar else {}),
        }


def inspect_table(
    ids: Path,
    *,
    catalogue: Path | None = None,
    tokenizer: Path | None = None,
    against: Path | None = None,
    item: str | None = None,
    code: str | None = None,
    seed: int = 0,
) -> Inspection:
    """Inspect an ID table, the better the more of what it was made from is given.

    The catalogue is read once, in a stream.

    Args:
        ids: the table.
        catalogue: tells duplicates and missing modalities from bad codes, and gives titles and
            pictures.
        tokenizer: tells which codes are shared and which of one modality, and what they keep.
        against: an older table.
        item: id of one item to look at.
        code: one code to look at, as ``POSITION=CODE``.
        seed: of the items that a report shows.

    Raises:
        DataError: a file or the item is missing, or the catalogue is another one.
        FormatError: a file is damaged, or the tokenizer is another one.
    """
    sources = open_sources(ids, catalogue, tokenizer)
    table = sources.ids
    changes = drift(SemanticIDs.read(against), table) if against is not None else None
    view = _view(sources, table.row(item)) if item is not None else None
    asked = None if code is None else code_example(table, sources.groups, code, seed)
    examples = Examples(
        sample_rows(table, SAMPLES, seed),
        sample_codes(table, sources.groups, seed),
        sample_collisions(table, seed),
    )
    seen = survey(sources, _rows(examples, view, asked)) if catalogue is not None else None
    quality = _quality(sources, seen)
    return Inspection(
        sources,
        quality,
        verdict(quality),
        examples,
        seen,
        _reconstruction(sources, seen),
        _similarity(sources, seen),
        view,
        asked,
        _words(sources, [*examples.codes, *([asked] if asked else [])]),
        changes,
    )


def _quality(sources: Sources, seen: Survey | None) -> Quality:
    """The statistics; what a table of an older mmq does not know of its tokenizer, that tells."""
    found = inspect_ids(sources.ids, *((seen.facts, seen.lacking) if seen else ()))
    if found.fit is None and sources.tokenizer is not None:
        from mmq.tokenizers._reference import fit_reference

        return replace(found, fit=fit_reference(sources.tokenizer))
    return found


def _view(sources: Sources, row: int) -> ItemView:
    table, tokenizer = sources.ids, sources.tokenizer
    bucket = table.rows_of(table.codes[row : row + 1]).rows
    decoded = [] if tokenizer is None else similar(table, tokenizer, row)
    return ItemView(row, bucket[:BUCKET], len(bucket), neighbours(table, row), decoded)


def _words(sources: Sources, codes: Sequence[CodeExample]) -> dict[tuple[int, int], list[Word]]:
    """Position and code -> what the items of the catalogue that have it have in common."""
    if sources.catalogue is None:
        return {}
    words, known = Words(sources.catalogue.attribute_table()), sources.rows >= 0
    column = np.full(len(sources.rows), -1, np.int64)
    found = {}
    for each in codes:
        column[known] = sources.ids.codes[sources.rows[known], each.position]
        found[each.position, each.code] = words.of(np.flatnonzero(column == each.code))
    return found


def _rows(examples: Examples, view: ItemView | None, asked: CodeExample | None) -> np.ndarray:
    """All rows that anything shows."""
    parts: Iterable[np.ndarray] = (
        examples.items,
        *(example.rows for example in examples.codes),
        *(collision.rows for collision in examples.collisions),
    )
    if view is not None:
        near = [each.row for each in view.neighbours] + [each.row for each in view.similar]
        parts = (*parts, view.bucket, np.array([*near, view.row]))
    if asked is not None:
        parts = (*parts, asked.rows)
    return np.unique(np.concatenate(list(parts)))


def _reconstruction(sources: Sources, seen: Survey | None) -> dict[str, dict[str, float]]:
    if sources.tokenizer is None:
        return {}
    parts: dict[str, Any] = dict(sources.tokenizer.figures.get("fvu_by_modality", {}))
    if seen is not None:
        codes = sources.ids.codes[seen.rows]
        parts[BY_CODES] = unexplained(seen.sample, codes, sources.tokenizer)
    told = {  # nothing is said of a modality that does not vary, or that no item of a part has
        part: {name: fvu for name, fvu in of.items() if fvu is not None and math.isfinite(fvu)}
        for part, of in parts.items()
    }
    return {part: of for part, of in told.items() if of}


def _similarity(sources: Sources, seen: Survey | None) -> dict[str, dict[str, float]]:
    if sources.tokenizer is None or seen is None:
        return {}
    return shared_code_similarity(seen.sample, sources.ids.codes[seen.rows], sources.groups)

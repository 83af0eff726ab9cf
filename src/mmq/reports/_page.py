"""The HTML report of an inspection: one file that needs no other and no network."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq._artifacts import check_writable
from mmq._formats import to_json
from mmq.errors import DataError
from mmq.made_from import check_same
from mmq.metrics.probes import CHANCE
from mmq.reports._examples import MOST_CODES
from mmq.reports._inspection import BY_CODES, Inspection
from mmq.reports._plots import bars_plot, usage_plot
from mmq.reports._similarity import ANY
from mmq.reports._template import write_page
from mmq.reports._thumbnails import Thumbnail, thumbnails

SHARED = "#4d5f94"
MODALITIES = ("#23877a", "#c47a2c", "#8b5190", "#5f7f38", "#b0504f", "#4a7fa8")
"""Colours of the modalities' codes, in turn."""

SHAPES = (2 / 3, 4 / 3)
"""Narrowest and widest tile (width over height) that pictures are shown in."""

_HEAD = 1 << 12
_MADE_FROM = re.compile(rb'<meta name="mmq-made-from" content="([^"]*)">')

WHOLE = "whole ID"
"""Name of all codes together in a table of probes."""


class Probes(NamedTuple):
    """How well known factors can be read from the codes.

    Attributes:
        accuracy: factor -> group of codes, or :data:`WHOLE` -> held-out accuracy, and ``chance``.
        told_by: factor -> what tells it (``shared``, ``text``, ``image``, ``synergy``).
    """

    accuracy: Mapping[str, Mapping[str, float]]
    told_by: Mapping[str, str]


class Code(NamedTuple):
    """One code of an ID with the colour and the name of its position."""

    value: int
    colour: str
    name: str


def check_report(path: Path, inputs: Mapping[str, Any] | None = None, force: bool = True) -> None:
    """Raise :class:`~mmq.errors.DataError` unless a report may be written there.

    Args:
        path: the file to make, ``.html``.
        inputs: what the report is of; see :mod:`mmq.made_from`.
        force: whether it replaces whatever file is there.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"--report {path} should be a file that ends in .html")
    check_writable(path)
    if path.is_file() and not force:
        of = _made_from(path)
        check_same(path, "a file" if of is None else "a report", inputs or {}, of)


def _made_from(path: Path) -> dict[str, Any] | None:
    """What a report says that it is of; None where it, or another file, does not."""
    with path.open("rb") as file:
        found = _MADE_FROM.search(file.read(_HEAD))
    return None if found is None else json.loads(html.unescape(found[1].decode()))


def write_report(
    found: Inspection,
    path: Path,
    probes: Probes | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Write the report, whole or not at all.

    Args:
        found: what the inspection found out.
        path: the file to make, ``.html``.
        probes: of the known factors, where the catalogue was generated.
        inputs: what the report is of, to be kept in it.

    Raises:
        DataError: the path is no HTML file, or the disk is full.
    """
    check_report(path)
    note = {} if inputs is None else {"made_from": to_json(inputs)}
    write_page(path, "inspection.html", {**_context(found, probes), **note})


def _context(found: Inspection, probes: Probes | None) -> dict[str, Any]:
    names, colours = _positions(found.sources.groups, found.sources.positions is not None)
    pictures = _pictures(found)
    shapes = [picture.shape for picture in pictures.values()]

    def item(row: int) -> dict[str, Any]:
        codes = found.ids.codes[row].tolist()
        return {
            "id": found.ids.item_ids[row].as_py(),
            "title": found.shown(row).title,
            "picture": pictures[row].uri if row in pictures else None,
            "rank": int(found.ids.rank[row]),
            "codes": [Code(*code) for code in zip(codes, colours, names, strict=True)],
        }

    return {
        "name": found.sources.name,
        "manifest": found.ids.manifest,
        "found": found,
        "quality": found.quality,
        "ceiling": float(np.mean(np.log(found.quality.codebook_sizes))),
        "colour_of": dict(zip(_group_names(found), colours, strict=True)),
        "who_sees_what": _who_sees_what(found),
        "has_pictures": any(found.shown(row).picture for row in _all_rows(found)),
        "shape": float(np.clip(np.median(shapes or [1.0]), *SHAPES)),
        "items": [item(row) for row in found.examples.items.tolist()],
        "usage": _usage(found, names, colours),
        "reconstruction": _reconstruction(found, colours),
        "by_codes": BY_CODES,
        "any": ANY,
        "examples": [
            {
                "group": example.group,
                "name": names[example.position],
                "colour": colours[example.position],
                "code": example.code,
                "count": example.items,
                "words": ", ".join(
                    word.text for word in found.words.get((example.position, example.code), [])
                ),
                "items": [item(row) for row in example.rows.tolist()],
            }
            for example in found.examples.codes
        ],
        "groups_left_out": max(0, len(found.sources.groups) - MOST_CODES),
        "collisions": [
            {"count": shared.items, "items": [item(row) for row in shared.rows.tolist()]}
            for shared in found.examples.collisions
        ],
        "probes": probes,
        "chance": CHANCE,
        "whole_id": WHOLE,
    }


def _group_names(found: Inspection) -> list[str]:
    """The group of each position; one name for all where groups are not known."""
    if found.sources.positions is None:
        return ["code"] * found.ids.length
    of = {place: group for group, at in found.sources.groups.items() for place in at}
    return [of[place] for place in range(found.ids.length)]


def _who_sees_what(found: Inspection) -> str:
    """What the codes of each group stand for, in a sentence or two; empty where it is not known."""
    if found.sources.positions is None:
        return ""
    groups = set(found.sources.groups)
    if groups == {"shared"}:
        sentence = "All codes see all modalities together."
    elif "shared" in groups:
        sentence = "Shared codes see all modalities together, the others one modality each."
    else:
        sentence = "Each code sees one modality." if len(groups) > 1 else ""
    refined = "Each code refines those before it." if found.ids.manifest["ordered"] else ""
    return f"{sentence} {refined}".strip()


def _positions(groups: Mapping[str, Sequence[int]], named: bool) -> tuple[list[str], list[str]]:
    """Name and colour of each position of the ID."""
    palette = iter(MODALITIES * (1 + len(groups) // len(MODALITIES)))
    names: dict[int, str] = {}
    colours: dict[int, str] = {}
    for group, positions in groups.items():
        colour = SHARED if group == "shared" or not named else next(palette)
        for number, position in enumerate(positions):
            names[position] = f"{group} {number + 1}" if named else group
            colours[position] = colour
    order = sorted(names)
    return [names[position] for position in order], [colours[position] for position in order]


def _all_rows(found: Inspection) -> list[int]:
    shown = found.examples
    parts = [shown.items, *(e.rows for e in shown.codes), *(c.rows for c in shown.collisions)]
    rows: list[int] = np.unique(np.concatenate(parts)).tolist()
    return rows


def _pictures(found: Inspection) -> dict[int, Thumbnail]:
    paths = {row: found.shown(row).picture for row in _all_rows(found)}
    return thumbnails({row: path for row, path in paths.items() if path is not None})


def _usage(found: Inspection, names: list[str], colours: list[str]) -> list[dict[str, Any]]:
    quality = found.quality
    return [
        {
            "name": names[position],
            "colour": colours[position],
            "plot": usage_plot(count, colours[position]),
            "size": len(count),
            "items": int(count.sum()),
            "used": int(np.count_nonzero(count)),
            "most": int(count.max()),
            "entropy": float(quality.entropies[position]),
            "ceiling": float(np.log(len(count))),
            "utilisation": float(quality.utilisations[position]),
            "gini": float(quality.ginis[position]),
        }
        for position, count in enumerate(quality.counts)
    ]


def _reconstruction(found: Inspection, colours: list[str]) -> str | None:
    """The bar plot, None where nothing is known of reconstruction."""
    if not found.reconstruction:
        return None
    of = {group: colours[at[0]] for group, at in found.sources.groups.items() if at}
    modalities = dict.fromkeys(name for part in found.reconstruction.values() for name in part)
    return bars_plot(found.reconstruction, {name: of.get(name, SHARED) for name in modalities})

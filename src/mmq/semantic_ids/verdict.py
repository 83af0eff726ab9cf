"""What the statistics of an ID table mean, in words: the figure, and what to do about it.

The rules, for a codebook of K codes over n items, of which ``min(K, n)`` codes could be in use:

- *constant* (poor): all items have one code, so the position tells nothing.
- *collapsed* (poor): fewer than half of those codes are in use, or they are used so unevenly that
  the perplexity is below a quarter of them. Items that lack the modality a codebook depends on all
  share one code, which is as it should be: they are taken out of that code's count first.
- *too large* (fair): K > n, so that an item hardly shares a code with any other.

and for the table:

- *too small* (poor where fewer IDs exist than items, or more than 10% of items collide; fair above
  1%): items share IDs although codebooks are in good use. Items whose embeddings are equal to
  another's do not count: no tokenizer can tell them apart; they have their own sentence (fair).

Codebooks are counted from 1 in sentences ("codebook 3 of 6").
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from mmq.metrics.quantisation import perplexity
from mmq.semantic_ids.quality import Quality

Grade = Literal["good", "fair", "poor"]

USED_SHARE = 0.5
"""Share of the codes that could be in use below which a codebook has collapsed."""

EFFECTIVE_SHARE = 0.25
"""Perplexity, as a share of the codes that could be in use, below which it has collapsed."""

COLLIDING_FAIR, COLLIDING_POOR = 0.01, 0.10
"""Shares of items that collide without being duplicates above which a table is fair, poor."""


class Verdict(NamedTuple):
    """A grade and the sentences that explain it, the gravest first."""

    grade: Grade
    sentences: list[str]


class _Finding(NamedTuple):
    grade: Grade
    sentence: str


class _Usage(NamedTuple):
    """Use of one codebook by the items that have its modality."""

    position: int
    size: int
    used: int
    effective: float
    usable: int
    whose: str

    @property
    def constant(self) -> bool:
        return self.used == 1

    @property
    def collapsed(self) -> bool:
        return not self.constant and (
            self.used < USED_SHARE * self.usable or self.effective < EFFECTIVE_SHARE * self.usable
        )


def verdict(quality: Quality) -> Verdict:
    """The grade of a table with one sentence a finding; each has its figure and its remedy."""
    usages = [usage for position in range(quality.length) if (usage := _usage(quality, position))]
    sick = [usage for usage in usages if usage.constant or usage.collapsed]
    findings = [
        *_constant(quality, usages),
        *_collapsed(quality, usages),
        *_too_small(quality, bool(sick)),
        *_too_large(quality),
        *_duplicates(quality),
    ]
    notes = list(_missing(quality))
    if not findings:
        return Verdict("good", [_good(quality), *notes])
    findings.sort(key=lambda finding: finding.grade != "poor")
    return Verdict(findings[0].grade, [finding.sentence for finding in findings] + notes)


def _usage(quality: Quality, position: int) -> _Usage | None:
    """Use of a codebook, items without its modality left out; none where too few remain."""
    count, size = quality.counts[position].copy(), quality.codebook_sizes[position]
    lacking = round(quality.items * _missing_share(quality, position))
    if lacking > count.max():  # they do not share a code, so nothing is to be taken out
        lacking = 0
    count[count.argmax()] -= lacking
    items = int(count.sum())
    if items < 2:
        return None
    return _Usage(
        position,
        size,
        int(np.count_nonzero(count)),
        float(perplexity([count])[0]),
        min(size, items),
        "items that have its modality" if lacking else "items",
    )


def _missing_share(quality: Quality, position: int) -> float:
    """Share of items that lack the modality which the codebook depends on."""
    facts = quality.facts
    return max(
        (
            facts.missing.get(modality, 0.0)
            for modality, positions in facts.positions.items()
            if position in positions
        ),
        default=0.0,
    )


def _good(quality: Quality) -> str:
    alone = 1 - quality.colliding_items / quality.items
    ceiling = float(np.mean(np.log(quality.codebook_sizes)))
    return (
        f"good: {_percent(quality.utilisation)} of the codes are in use (entropy "
        f"{quality.entropy:.2f} of {ceiling:.2f} nats) and {_percent(alone)} of the "
        f"{quality.items:,} items have a semantic ID of their own; nothing to mend"
    )


def _constant(quality: Quality, usages: list[_Usage]) -> Iterator[_Finding]:
    for usage in usages:
        if usage.constant:
            yield _Finding(
                "poor",
                f"constant: codebook {usage.position + 1} of {quality.length} gives all "
                f"{usage.whose} 1 of its {usage.size:,} codes and so tells nothing; "
                "fit again without this position, or, where epochs are a setting, for more of them",
            )


def _collapsed(quality: Quality, usages: list[_Usage]) -> Iterator[_Finding]:
    parts = []
    for usage in usages:
        if usage.collapsed:
            part = f"codebook {usage.position + 1} uses {usage.used:,} of {usage.size:,} codes"
            if usage.whose != "items":
                part += f" for the {usage.whose}"
            if usage.used >= USED_SHARE * usage.usable:
                part += f", so unevenly that they are worth {usage.effective:.0f}"
            parts.append(part)
    if parts:
        yield _Finding(
            "poor",
            f"collapsed: {'; '.join(parts)}; fit again with smaller codebooks or, where epochs are "
            "a setting, for more of them with the revival of unused codes",
        )


def _too_small(quality: Quality, sick: bool) -> Iterator[_Finding]:
    capacity = math.prod(quality.codebook_sizes)
    if capacity < quality.items:
        yield _Finding(
            "poor",
            f"too small for this catalogue: only {capacity:,} semantic IDs exist for "
            f"{quality.items:,} items; fit with more positions or larger codebooks",
        )
        return
    unexplained = quality.colliding_items - min(quality.facts.duplicates, quality.colliding_items)
    share = unexplained / quality.items
    if share <= COLLIDING_FAIR:
        return
    grade: Grade = "poor" if share > COLLIDING_POOR else "fair"
    besides = ", besides duplicates" if unexplained < quality.colliding_items else ""
    figure = (
        f"{_percent(share)} of items collide ({unexplained:,} of {quality.items:,}{besides}; the "
        f"fullest semantic ID has {quality.largest_bucket:,} items)"
    )
    if sick:
        yield _Finding(grade, f"{figure}; mend the codebooks above first, then look again")
        return
    remedy = "fit with more positions or larger codebooks"
    if quality.collisions == "rank":
        remedy += ", or encode with --collisions move"
    yield _Finding(grade, f"too small for this catalogue: {figure}; {remedy}")


def _too_large(quality: Quality) -> Iterator[_Finding]:
    largest = max(quality.codebook_sizes)
    if largest > quality.items:
        yield _Finding(
            "fair",
            f"too large: codebooks of {largest:,} codes for {quality.items:,} items, so that items "
            "hardly share codes; fit with codebooks well below the number of items",
        )


def _duplicates(quality: Quality) -> Iterator[_Finding]:
    duplicates = quality.facts.duplicates
    if duplicates <= COLLIDING_FAIR * quality.items:
        return
    explained = min(duplicates, quality.colliding_items)
    sentence = (
        f"{_percent(duplicates / quality.items)} of items have the embeddings of another item"
    )
    if explained:
        sentence += (
            f", which explains {_percent(explained / quality.colliding_items)} of the collisions"
        )
    yield _Finding(
        "fair",
        f"{sentence}; no tokenizer can tell them apart, so drop the duplicates, embed richer "
        "content, or let the rank tell them apart",
    )


def _missing(quality: Quality) -> Iterator[str]:
    for modality, share in quality.facts.missing.items():
        positions = [
            position
            for position in quality.facts.positions.get(modality, ())
            if share > COLLIDING_FAIR and quality.counts[position].max() >= share * quality.items
        ]
        if positions:
            books = ", ".join(str(position + 1) for position in positions)
            yield (
                f"{_percent(share)} of items have no {modality} and share its codes (codebook "
                f"{books} of {quality.length}); that is no collapse, add the {modality} where you "
                "can"
            )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"

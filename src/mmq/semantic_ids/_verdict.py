"""What the statistics of an ID table mean, in words: the figure, and what to do about it.

The rules, for a codebook of K codes over n items, of which ``min(K, n)`` codes could be in use:

- *constant* (poor): all items have one code, so the position tells nothing.
- *collapsed* (poor): fewer than half of those codes are in use, or they are used so unevenly that
  the perplexity is below a quarter of them. Items that lack the modality a codebook depends on are
  not counted: it can say nothing of them.
- *too large* (fair): K > n, so that an item hardly shares a code with any other.

and for the table:

- *too small* (poor where fewer IDs exist than items, or more than 10% of items collide; fair above
  1%): items share IDs although codebooks are in good use. Items whose embeddings are equal to
  another's do not count: no tokenizer can tell them apart; they have their own sentence (fair).
- what the codes keep of items that the fit did not see: see :mod:`mmq.semantic_ids._kept`.

Codebooks are counted from 1 in sentences ("codebook 3 of 6").
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from mmq.metrics.quantisation import perplexity
from mmq.semantic_ids._kept import Kept, percent
from mmq.semantic_ids._quality import Quality

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
        *_new_items(quality),
    ]
    notes = list(_missing(quality))
    if not findings:
        return Verdict("good", [_good(quality), *notes])
    findings.sort(key=lambda finding: finding.grade != "poor")
    return Verdict(findings[0].grade, [finding.sentence for finding in findings] + notes)


def _usage(quality: Quality, position: int) -> _Usage | None:
    """Use of a codebook by the items that have its modality; none where they are too few."""
    count, size = quality.counts[position], quality.codebook_sizes[position]
    items = int(count.sum())
    if items < 2:
        return None
    return _Usage(
        position,
        size,
        int(np.count_nonzero(count)),
        float(perplexity([count])[0]),
        min(size, items),
        "items that have its modality" if items < quality.items else "items",
    )


def _good(quality: Quality) -> str:
    alone = 1 - quality.colliding_items / quality.items
    ceiling = float(np.mean(np.log(quality.codebook_sizes)))
    return (
        f"good: {percent(quality.utilisation)} of the codes are in use (entropy "
        f"{quality.entropy:.2f} of {ceiling:.2f} nats), {percent(alone)} of the "
        f"{quality.items:,} items have a semantic ID of their own, and {_told_of_new(quality)}"
    )


def _told_of_new(quality: Quality) -> str:
    """What is known of items that the fit did not see, where nothing is wrong with it."""
    kept = Kept.of(quality.fit)
    if kept is not None:
        return (
            f"the codes keep {percent(kept.new)} of the variance of items that the fit did not "
            f"see (of those it saw {percent(kept.fitted)}); nothing to mend"
        )
    if quality.fit is not None:
        return (
            "what the codes keep of items that the fit did not see is not known: fit with "
            "--hold-out 0.1 to measure it"
        )
    return "what the codes keep of the embeddings is not known to the table"


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
        f"{percent(share)} of items collide ({unexplained:,} of {quality.items:,}{besides}; the "
        f"fullest semantic ID has {quality.largest_bucket:,} items)"
    )
    if sick:
        yield _Finding(grade, f"{figure}; mend the codebooks above first, then look again")
        return
    remedy = "fit with more positions or larger codebooks"
    if quality.collisions == "rank" and not quality.imported:
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
    sentence = f"{percent(duplicates / quality.items)} of items have the embeddings of another item"
    if explained:
        sentence += (
            f", which explains {percent(explained / quality.colliding_items)} of the collisions"
        )
    yield _Finding(
        "fair",
        f"{sentence}; no tokenizer can tell them apart, so drop the duplicates, embed richer "
        "content, or let the rank tell them apart",
    )


def _missing(quality: Quality) -> Iterator[str]:
    for modality, items in quality.lacking.items.items():
        positions = quality.lacking.positions(modality)
        if positions and items > COLLIDING_FAIR * quality.items:
            books = ", ".join(str(position + 1) for position in positions)
            yield (
                f"{percent(items / quality.items)} of items have no {modality} and are left out "
                f"of the figures of its codes (codebook {books} of {quality.length}); that is no "
                f"collapse, add the {modality} where you can"
            )


def _new_items(quality: Quality) -> Iterator[_Finding]:
    kept = Kept.of(quality.fit)
    wrong = [] if kept is None else kept.wrong
    if kept is not None and wrong:
        poor = kept.as_noise or len(wrong) > 1
        yield _Finding("poor" if poor else "fair", f"{', '.join(wrong)}: {kept.sentence()}")

"""What the paper claims, and whether it holds in the tables that were made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from experiments.paper.plan import (
    ITEM_IDS,
    ITEM_TOKENS,
    JOINTLY,
    LONGER,
    QUANTISATION,
    RANKING,
    RETRIEVAL,
    SASREC,
    SHUFFLED,
    Row,
)
from experiments.paper.tables import AUC, ENTROPY, RECALL, RECON, Column, Found
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
from mmq.metrics.resampling import SIGNIFICANT, PairedTest

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decidable"
_CODES = Column(QUANTISATION, "l_recon_codes fit", "L_recon", "lower", 3)
_TAIL_RECALL = Column(RETRIEVAL, "tail recall@10", "R@10 of unpopular items", "higher")
_TAIL_AUC = Column(RANKING, "tail auc", "AUC of unpopular items", "higher")


class Verdict(NamedTuple):
    """A claim and what became of it.

    Attributes:
        of: the table or figure.
        claim: in a sentence.
        verdict: one of :data:`HOLDS`, :data:`FAILS`, :data:`OPEN`.
        why: the figures.
        paper: what the paper reports, where it is known.
    """

    of: str
    claim: str
    verdict: str
    why: str
    paper: str | None


class _Comparison(NamedTuple):
    """Whether a row is better than another: 1 yes, -1 the other is, 0 nothing tells.

    ``missing``: neither was measured.
    """

    sign: int
    one: str
    other: str
    missing: bool = False


class _Claim(NamedTuple):
    """A claim of the paper: one row is better than each of some others."""

    of: str
    claim: str
    column: Column
    pairs: Callable[[Sequence[str]], list[tuple[Row, Row]]]
    paper: str | None = None


def _against(names: Callable[[Sequence[str]], list[str]]) -> Callable[..., list[tuple[Row, Row]]]:
    return lambda modalities: [(Row(MMQ), Row(name)) for name in names(modalities)]


def _stage2(variants: Sequence[str], other: str) -> list[tuple[Row, Row]]:
    return [(Row(name, JOINTLY), Row(name, other)) for name in variants]


def _rqvaes(modalities: Sequence[str]) -> list[str]:
    return [name for name in baselines(modalities) if name.endswith("RQ-VAE")]


def _ablated(name: str) -> Callable[[Sequence[str]], list[tuple[Row, Row]]]:
    return lambda _: [(Row(BY_GRADIENT), Row(ablated(name)))]


def _longer(modalities: Sequence[str]) -> list[tuple[Row, Row]]:
    m = len(modalities)
    names = [MMQ if n == length_of(m) else f"{MMQ}, {n} codes" for n in lengths(m)]
    return [(Row(after), Row(before)) for before, after in itertools.pairwise(names)]


def _shared(modalities: Sequence[str]) -> list[tuple[Row, Row]]:
    return [(Row(MMQ), Row(name)) for name in specific_only(len(modalities))]


CLAIMS = (
    _Claim("table1", "MMQ reconstructs better than every baseline", RECON, _against(baselines)),
    _Claim(
        "table1",
        "MMQ reconstructs better than every baseline from codes alone, without gates (our control)",
        _CODES, _against(baselines),
    ),
    _Claim(
        "table1", "MMQ uses its codes more evenly than every baseline", ENTROPY,
        _against(baselines), "an entropy of 4.42 of at most ln 100 = 4.61 nats",
    ),
    _Claim(
        "table1", "MMQ retrieves better than every baseline", RECALL, _against(baselines),
        "R@10 .0675 against .0549 of the best baseline, MS-RQ-KMeans (Amazon Beauty)",
    ),
    _Claim("table1", "MMQ ranks better than every baseline", AUC, _against(baselines)),
    _Claim(
        "table1", "PPNet ranks better with IDs of MMQ than with item IDs alone", AUC,
        lambda _: [(Row(MMQ), Row(ITEM_IDS))],
    ),
    _Claim(
        "table1", "Fine-tuning makes MMQ retrieve better", RECALL,
        lambda _: _stage2([MMQ], ""), "about 20% more R@10 than frozen IDs",
    ),
    _Claim(
        "table1", "Fine-tuning makes MMQ retrieve better than longer training does (our control)",
        RECALL, lambda _: _stage2([MMQ], LONGER),
    ),
    _Claim(
        "table1", "Fine-tuning makes MMQ rank better", AUC, lambda _: _stage2([MMQ], ""),
    ),
    _Claim(
        "table1", "Item tokens make MMQ retrieve better than longer training does (our own)",
        RECALL, lambda _: [(Row(MMQ, ITEM_TOKENS), Row(MMQ, LONGER))],
    ),
    _Claim(
        "table1", "With item tokens, MMQ's codes retrieve better than shuffled ones (our own)",
        RECALL, lambda _: [(Row(MMQ, ITEM_TOKENS), Row(MMQ, SHUFFLED))],
    ),
    _Claim(
        "table1", "MMQ with behaviour and item tokens retrieves better than SASRec (our own)",
        RECALL, lambda _: [(Row(WITH_BEHAVIOUR, ITEM_TOKENS), Row(SASREC))],
    ),
    *(
        _Claim(
            "table2", f"{BY_GRADIENT} is better than {name}: {column.title}", column,
            _ablated(name),
        )
        for name in list(ABLATIONS)[:3]
        for column in (RECON, RECALL, AUC)
    ),
    _Claim(
        "figure3", "MMQ finds unpopular items better than every baseline", _TAIL_RECALL,
        _against(baselines),
    ),
    _Claim(
        "figure3", "MMQ ranks unpopular items better than every baseline", _TAIL_AUC,
        _against(baselines),
    ),
    _Claim(
        "figure4", "Fine-tuning makes every RQ-VAE retrieve better", RECALL,
        lambda modalities: _stage2(_rqvaes(modalities), ""), "gains, aligned and separated",
    ),
    _Claim(
        "figure4",
        "Fine-tuning makes every RQ-VAE retrieve better than longer training does (our control)",
        RECALL, lambda modalities: _stage2(_rqvaes(modalities), LONGER),
    ),
    _Claim(
        "figure4", "Fine-tuning makes every RQ-VAE rank better", AUC,
        lambda modalities: _stage2(_rqvaes(modalities), ""), "gains, aligned and separated",
    ),
    _Claim("figure5", "Every longer ID reconstructs better", RECON, _longer),
    _Claim("figure5", "Every longer ID retrieves better", RECALL, _longer),
    _Claim(
        "figure6", "Shared and specific experts reconstruct better than specific ones alone, "
        "however many", RECON, _shared,
    ),
    _Claim(
        "figure6", "Shared and specific experts retrieve better than specific ones alone, "
        "however many", RECALL, _shared,
    ),
)  # fmt: skip
"""As far as they can be told from tables, and controls of ours beside them; with the paper's own
figures where they were at hand."""


def verdicts(found: Found) -> list[dict[str, Any]]:
    """A verdict on each claim of the tables and figures that were made."""
    rows = found.plan.rows
    judged = [_judge(found, claim) for claim in CLAIMS if claim.of in rows]
    return [each._asdict() for each in judged if each is not None]


def _judge(found: Found, claim: _Claim) -> Verdict | None:
    """It holds if it does for all pairs, and does not if one of them is the other way round.

    None where no cell has figures of this part.
    """
    pairs = claim.pairs(found.modalities)
    compared = [_compare(found, claim.column, *pair) for pair in pairs]
    if all(each.missing for each in compared):
        return None
    signs = [each.sign for each in compared]
    if min(signs) < 0:
        verdict = FAILS
    elif min(signs) > 0:
        verdict = HOLDS
    else:
        verdict = OPEN
    return Verdict(claim.of, claim.claim, verdict, _why(claim.column, compared), claim.paper)


def _why(column: Column, compared: Sequence[_Comparison]) -> str:
    """The figures in a sentence; the row that several others are compared with stands once."""
    parts: dict[str, list[str]] = {}
    for each in compared:
        parts.setdefault(each.one, []).append(each.other)
    sides = [f"{one} against {', '.join(others)}" for one, others in parts.items()]
    return f"{column.title}: {'; '.join(sides)}."


def _compare(found: Found, column: Column, one: Row, other: Row) -> _Comparison:
    """Two rows by a column, of the seeds that both have: it counts if a paired test says so."""
    part, key = column.part, column.key
    values = [found.values(row, part, key) for row in (one, other)]
    both = values[0].keys() & values[1].keys()
    own, theirs = (_named(found, row, column, both or None) for row in (one, other))
    if not both:
        return _Comparison(0, own, theirs, missing=not any(values))
    test = found.compare(one, other, part, key)
    texts = own, f"{theirs} ({_told(test, column)})"
    if test is None or test.p_value >= SIGNIFICANT:
        return _Comparison(0, *texts)
    better = test.difference > 0 if column.better == "higher" else test.difference < 0
    return _Comparison(1 if better else -1, *texts)


def _told(test: PairedTest | None, column: Column) -> str:
    """The interval of the difference and p, in a few words."""
    if test is None:
        return "one seed"
    low, high = (f"{end:+.{column.digits}f}" for end in (test.low, test.high))
    p = "p < 0.0001" if test.p_value < 1e-4 else f"p {test.p_value:.2g}"
    return f"{low} to {high}, {p}"


def _named(found: Found, row: Row, column: Column, seeds: Collection[int] | None) -> str:
    figure = found.figure(row, column.part, column.key, seeds)
    value = f"{figure['mean']:.{column.digits}f}" if figure else "(no figure)"
    return f"{row.name} {value}"

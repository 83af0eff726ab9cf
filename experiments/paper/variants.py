"""The tokenizers of the tables: the paper's seven, and what its ablations take away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from mmq.tokenizers import MMQTokenizer, OPQTokenizer, RQKMeansTokenizer, RQVAETokenizer

MMQ = MMQTokenizer.label
BY_GRADIENT = "MMQ by gradient"
"""The paper's MMQ, whose experts and codebooks learn by gradient."""
_BASELINES = {each.label: each.kind for each in (RQVAETokenizer, RQKMeansTokenizer, OPQTokenizer)}
_FUSIONS = {"MA": "aligned", "MS": "separated"}


class Variant(NamedTuple):
    """A tokenizer of a table.

    Attributes:
        kind: of tokenizer; empty for one of the user's own.
        settings: that make it what it is.
        tuned_as: the row whose search it takes its other settings from.
    """

    kind: str
    settings: Mapping[str, Any]
    tuned_as: str


ABLATIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "w/o cosine": {"distance": "l2"},
        "w/o auxiliary loss": {"auxiliary_weight": 0.0},
        "w/o orthogonality": {"orthogonality_weight": 0.0},
        "w/o index estimator": {"codebook": "ema"},
        "w/o revival": {"revival": False},
        "w/o noise": {"input_noise": 0.0},
    }
)
"""Table 2: what is taken away from MMQ by gradient; the first three are the paper's, the others
ours."""


def experts(modalities: int, times: int = 2) -> tuple[int, int]:
    """Shared experts, and specific ones a modality.

    Six codes for up to three modalities: 2 + 2 a modality for two, as in the paper; ``times`` of 3,
    4... make 9, 12... codes. The codes divide evenly among the modalities, as separated tokenizers
    need it.
    """
    if modalities == 1:
        return times, 2 * times
    if modalities == 2:
        return times, times
    return modalities * (times - 1), times - 1


def length_of(modalities: int, times: int = 2) -> int:
    """Codes of such an ID."""
    shared, specific = experts(modalities, times)
    return shared + modalities * specific


def ablated(name: str) -> str:
    """The row of an ablation."""
    return f"{BY_GRADIENT} {name}"


def variants(modalities: Sequence[str]) -> dict[str, Variant]:
    """Name -> tokenizer, of all tables and figures, for these modalities."""
    m = len(modalities)
    shared, specific = experts(m)
    found = {MMQ: Variant("mmq", _experts(shared, specific), MMQ)}
    for name, kind in _BASELINES.items():
        length = {"length": length_of(m)}
        if m == 1:
            found[name] = Variant(kind, length, name)
            continue
        for short, fusion in _FUSIONS.items():
            row = f"{short}-{name}"
            found[row] = Variant(kind, {**length, "fusion": fusion}, row)
    learned = {**found[MMQ].settings, "learning": "gradient"}
    found[BY_GRADIENT] = Variant("mmq", learned, BY_GRADIENT)
    for name, change in ABLATIONS.items():
        found[ablated(name)] = Variant("mmq", {**learned, **change}, BY_GRADIENT)
    for codes, times in lengths(m).items():
        if codes != length_of(m):
            found[f"MMQ, {codes} codes"] = Variant("mmq", _experts(*experts(m, times)), MMQ)
    for name, each in specific_only(m).items():
        found[name] = Variant("mmq", _experts(0, each), MMQ)
    own = _experts(shared, specific)
    found[WITH_BEHAVIOUR] = Variant("mmq", {**own, **_behaviour(modalities)}, MMQ)
    return found


WITH_BEHAVIOUR = "MMQ with behaviour"


def baselines(modalities: Sequence[str]) -> list[str]:
    """Names of the tokenizers that MMQ is compared with."""
    if len(modalities) == 1:
        return list(_BASELINES)
    return [f"{short}-{name}" for name in _BASELINES for short in _FUSIONS]


def lengths(modalities: int) -> dict[int, int]:
    """Figure 5: codes of an ID -> how many times the experts."""
    return {length_of(modalities, times): times for times in range(2, 7)}


def specific_only(modalities: int) -> dict[str, int]:
    """Figure 6: MMQ without shared experts -> experts a modality."""
    counts = range(4, 11, 2) if modalities == 1 else range(2, 6)
    return {f"MMQ, {each * modalities} specific experts": each for each in counts}


def _experts(shared: int, specific: int) -> dict[str, Any]:
    return {"shared_experts": shared, "specific_experts": specific}


def _behaviour(modalities: Sequence[str]) -> dict[str, Any]:
    """As many codes as without behaviour."""
    m = len(modalities)
    if m > 2:
        return {"shared_experts": m - 1}
    each = 2 // m
    return {"specific_experts": {**dict.fromkeys(modalities, each), "behaviour": 2}}

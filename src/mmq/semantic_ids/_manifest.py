"""The manifest: what made an ID table, by content hash. No paths, no times: same input, same bytes.

>>> manifest = build_manifest([100] * 6, tokenizer=TokenizerRef(name="mmq", fingerprint="5f0c"))
>>> manifest["length"], manifest["collisions"]
(6, 'rank')
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from mmq._formats import parse_json
from mmq._version import __version__
from mmq.errors import FormatError
from mmq.semantic_ids._lacking import LackingRef

FORMAT = 1
"""Version of the table's Parquet layout; raised when an older mmq could not read it."""

Policy = Literal["rank", "move"]
"""What happens to items that share an ID: kept and ranked, or moved to the nearest free ID."""


class _Figures(TypedDict):
    fvu_codes: dict[str, float | None]
    bound: float | None
    noise: float | None


class FitRef(_Figures, total=False):
    """What the fit of a tokenizer was worth, by the codes alone.

    ``fvu_codes`` is the fraction of variance unexplained of the part "fit" and, where items were
    held out, "held_out". What no codes of as many bits can fall below is ``bound`` for a Gaussian
    of the same spread (None where it is not known), and ``noise`` for pure noise of the same width.
    ``noise_setting`` names the setting that makes codewords robust, None for a kind that has none;
    tables of an older mmq lack it.
    """

    noise_setting: str | None


class _NamedTokenizer(TypedDict):
    name: str
    fingerprint: str


class TokenizerRef(_NamedTokenizer, total=False):
    """The tokenizer that gave the codes.

    ``positions`` are those of each group, "shared" or a modality; ``tuned_from`` has the
    fingerprints of the tokenizers that it was fine-tuned from, the latest last. Tables of an older
    mmq have none of the three.
    """

    positions: dict[str, list[int]]
    fit: FitRef
    tuned_from: list[str]


class CatalogueRef(TypedDict):
    """The catalogue that was encoded (last, where there were several)."""

    fingerprint: str
    items: int


class ImportedRef(TypedDict):
    """A file that semantic IDs made elsewhere were read from.

    ``file`` is its name, ``sha256`` its hash; ``columns`` were read, whose codes count from
    ``first_codes``.
    """

    file: str
    sha256: str
    columns: list[str]
    first_codes: list[int]


class _FirstManifest(TypedDict):
    format: int
    mmq: str
    tokenizer: TokenizerRef | None
    catalogue: CatalogueRef | None
    length: int
    codebook_sizes: list[int]
    ordered: bool
    collisions: Policy


class Manifest(_FirstManifest, total=False):
    """What made an ID table; ``None`` where it is not known, as for codes made by hand.

    ``lacking`` tells of the items that lack a modality; tables of an older mmq do not have it.
    ``imported`` is there where no tokenizer of mmq made the IDs: the file that they are from, and
    those that were appended to it.
    """

    lacking: dict[str, LackingRef] | None
    imported: list[ImportedRef]


def build_manifest(
    codebook_sizes: Sequence[int],
    *,
    tokenizer: TokenizerRef | None = None,
    catalogue: CatalogueRef | None = None,
    ordered: bool = False,
    collisions: Policy = "rank",
    lacking: Mapping[str, LackingRef] | None = None,
) -> Manifest:
    """A manifest of this version of mmq.

    Args:
        codebook_sizes: size of each codebook.
        tokenizer: name and content hash of the tokenizer.
        catalogue: content hash and number of items of the catalogue.
        ordered: whether each code refines those before it (RQ-VAE, RQ-KMeans).
        collisions: what was done with items that share an ID.
        lacking: of the items that lack a modality: ``Lacking.to_manifest``.
    """
    return Manifest(
        format=FORMAT,
        mmq=__version__,
        tokenizer=tokenizer,
        catalogue=catalogue,
        length=len(codebook_sizes),
        codebook_sizes=[int(size) for size in codebook_sizes],
        ordered=ordered,
        collisions=collisions,
        lacking=None if lacking is None else dict(lacking),
    )


def known_positions(manifest: Manifest) -> dict[str, list[int]] | None:
    """Group ("shared" or a modality) -> its positions; None where it is not known."""
    tokenizer = manifest["tokenizer"]
    return None if tokenizer is None else tokenizer.get("positions")


def known_fit(manifest: Manifest) -> FitRef | None:
    """What the fit of the tokenizer was worth; None where it is not known."""
    tokenizer = manifest["tokenizer"]
    return None if tokenizer is None else tokenizer.get("fit")


def is_imported(manifest: Mapping[str, Any]) -> bool:
    """Whether the IDs were made elsewhere."""
    return bool(manifest.get("imported"))


def append_command(manifest: Mapping[str, Any]) -> str:
    """The command that gives new items a place in a table."""
    return "mmq import ids --append" if is_imported(manifest) else "mmq encode --append"


def to_json(manifest: Manifest) -> str:
    """One line of JSON, keys sorted, so that equal manifests are equal bytes."""
    return json.dumps(manifest, sort_keys=True, ensure_ascii=False)


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """The manifest in ``text``.

    Raises:
        FormatError: damaged, or written by a newer mmq. ``where`` is named in the message.
    """
    try:
        value = parse_json(text)
    except ValueError as error:
        raise FormatError(
            f"the manifest of {where} is damaged ({error}); encode the catalogue again"
        ) from error
    if (
        isinstance(value, dict)
        and isinstance(value.get("format"), int)
        and value["format"] > FORMAT
    ):
        raise FormatError(
            f"{where} was written by a newer mmq ({value.get('mmq')}, format {value['format']}; "
            f"this one reads up to {FORMAT}); upgrade: pip install -U mmq-tokenizer"
        )
    if not _is_manifest(value):
        raise FormatError(
            f"the manifest of {where} lacks a field or has a wrong one; encode the catalogue again"
        )
    return cast(Manifest, value)


def require_same_tokenizer(
    expected: Mapping[str, Any], found: Mapping[str, Any], consequence: str
) -> None:
    """Raise :class:`FormatError` unless two manifests name the same tokenizer and codebooks.

    Args:
        expected: the manifest that is there already.
        found: the manifest of what should go with it.
        consequence: what a mismatch would do; ends the message's first half, e.g. "appending
            would mix two code spaces; encode the whole catalogue again".
    """
    names = [tokenizer_name(manifest) for manifest in (expected, found)]
    if is_imported(expected) and found["tokenizer"] is not None:
        raise FormatError(
            f"the semantic IDs were imported from {imported_from(expected)}, not made by tokenizer "
            f"{names[1]}: {consequence}"
        )
    if expected["tokenizer"] is None and found["tokenizer"] is not None:
        raise FormatError(
            "the table does not say which tokenizer made its semantic IDs (it was built in Python "
            f"without a manifest), so that they may not be those of {names[1]}: {consequence}"
        )
    if expected["tokenizer"] is not None and names[0] != names[1]:
        raise FormatError(
            f"the semantic IDs come from tokenizer {names[0]}, not {names[1]}: {consequence}"
        )
    sizes = [list(manifest["codebook_sizes"]) for manifest in (expected, found)]
    if sizes[0] != sizes[1]:
        raise FormatError(
            f"the semantic IDs have codebooks of {sizes[0]} codes, not {sizes[1]}: {consequence}"
        )


def tokenizer_name(manifest: Mapping[str, Any]) -> str:
    """Kind and start of the fingerprint of what made a table, for a message."""
    tokenizer = manifest["tokenizer"]
    if is_imported(manifest):
        return f"elsewhere ({imported_from(manifest)})"
    if tokenizer is None:
        return "unknown"
    return f"'{tokenizer['name']}' ({tokenizer['fingerprint'][:12]})"


def imported_from(manifest: Mapping[str, Any]) -> str:
    """The file that IDs were imported from, for a message."""
    first, *more = manifest["imported"]
    return f"{first['file']} and {len(more):,} more" if more else str(first["file"])


def _is_manifest(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and Manifest.__required_keys__ <= set(value)
        and isinstance(value["format"], int)
        and isinstance(value["codebook_sizes"], list)
        and all(isinstance(size, int) and size > 0 for size in value["codebook_sizes"])
        and value["length"] == len(value["codebook_sizes"])
        and value["collisions"] in ("rank", "move")
        and _has(value["tokenizer"], TokenizerRef.__required_keys__)
        and _has(value["catalogue"], CatalogueRef.__required_keys__)
        and _has_positions(value["tokenizer"], value["length"])
        and _has_fit(value["tokenizer"])
        and _has_lacking(value.get("lacking"), value["codebook_sizes"])
        and _has_imported(value.get("imported", []))
    )


def _has(value: Any, fields: frozenset[str]) -> bool:
    return value is None or (isinstance(value, dict) and fields <= set(value))


def _has_positions(tokenizer: Any, length: int) -> bool:
    whole = {"all": list(range(length))}
    positions: Any = whole if tokenizer is None else tokenizer.get("positions", whole)
    if not (isinstance(positions, dict) and all(isinstance(p, list) for p in positions.values())):
        return False
    places = [place for each in positions.values() for place in each]
    return all(_below(place, length) for place in places) and len(set(places)) == length


def _has_fit(tokenizer: Any) -> bool:
    unknown: dict[str, Any] = {"fvu_codes": {}, "bound": None, "noise": None}
    fit: Any = unknown if tokenizer is None else tokenizer.get("fit", unknown)
    if not (
        isinstance(fit, dict)
        and FitRef.__required_keys__ <= set(fit)
        and isinstance(fit["fvu_codes"], dict)
    ):
        return False
    if not isinstance(fit.get("noise_setting"), str | None):
        return False
    figures = [*fit["fvu_codes"].values(), fit["bound"], fit["noise"]]
    return all(each is None or isinstance(each, int | float) for each in figures)


def _has_lacking(value: Any, sizes: list[int]) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and all(
        isinstance(each, dict)
        and isinstance(each.get("items"), int)
        and isinstance(each.get("codes"), list)
        and all(_is_count(triple, sizes) for triple in each["codes"])
        for each in value.values()
    )


def _has_imported(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and ImportedRef.__required_keys__ <= set(each)
        and isinstance(each["file"], str)
        for each in value
    )


def _is_count(triple: Any, sizes: list[int]) -> bool:
    return (
        isinstance(triple, list)
        and len(triple) == 3
        and _below(triple[0], len(sizes))
        and _below(triple[1], sizes[triple[0]])
        and isinstance(triple[2], int)
    )


def _below(value: Any, end: int) -> bool:
    return isinstance(value, int) and 0 <= value < end

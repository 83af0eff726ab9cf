"""The manifest: what made an ID table, by content hash. No paths, no times: same input, same bytes.

>>> manifest = build_manifest([100] * 6, tokenizer=TokenizerRef(name="mmq", fingerprint="5f0c"))
>>> manifest["length"], manifest["collisions"]
(6, 'rank')
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal, TypedDict, cast

from mmq.errors import FormatError

FORMAT = 1
"""Version of the table's Parquet layout; raised when an older mmq could not read it."""

Policy = Literal["rank", "move"]
"""What happens to items that share an ID: kept and ranked, or moved to the nearest free ID."""


class TokenizerRef(TypedDict):
    """The tokenizer that gave the codes."""

    name: str
    fingerprint: str


class CatalogueRef(TypedDict):
    """The catalogue that was encoded (last, where there were several)."""

    fingerprint: str
    items: int


class Manifest(TypedDict):
    """What made an ID table; ``None`` where it is not known, as for codes made by hand."""

    format: int
    mmq: str
    tokenizer: TokenizerRef | None
    catalogue: CatalogueRef | None
    length: int
    codebook_sizes: list[int]
    ordered: bool
    collisions: Policy


def build_manifest(
    codebook_sizes: Sequence[int],
    *,
    tokenizer: TokenizerRef | None = None,
    catalogue: CatalogueRef | None = None,
    ordered: bool = False,
    collisions: Policy = "rank",
) -> Manifest:
    """A manifest of this version of mmq.

    Args:
        codebook_sizes: size of each codebook.
        tokenizer: name and content hash of the tokenizer.
        catalogue: content hash and number of items of the catalogue.
        ordered: whether each code refines those before it (RQ-VAE, RQ-KMeans).
        collisions: what was done with items that share an ID.
    """
    return Manifest(
        format=FORMAT,
        mmq=version("mmq-tokenizer"),
        tokenizer=tokenizer,
        catalogue=catalogue,
        length=len(codebook_sizes),
        codebook_sizes=[int(size) for size in codebook_sizes],
        ordered=ordered,
        collisions=collisions,
    )


def to_json(manifest: Manifest) -> str:
    """One line of JSON, keys sorted, so that equal manifests are equal bytes."""
    return json.dumps(manifest, sort_keys=True, ensure_ascii=False)


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """The manifest in ``text``.

    Raises:
        FormatError: damaged, or written by a newer mmq. ``where`` is named in the message.
    """
    try:
        value = json.loads(text)
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
    names = [_tokenizer_name(manifest) for manifest in (expected, found)]
    if expected["tokenizer"] is None and found["tokenizer"] is not None:
        raise FormatError(
            "the table does not say which tokenizer made its semantic IDs (it was built in Python "
            f"without a manifest), so that they may not be those of {names[1]}: {consequence}"
        )
    if names[0] != names[1]:
        raise FormatError(
            f"the semantic IDs come from tokenizer {names[0]}, not {names[1]}: {consequence}"
        )
    sizes = [list(manifest["codebook_sizes"]) for manifest in (expected, found)]
    if sizes[0] != sizes[1]:
        raise FormatError(
            f"the semantic IDs have codebooks of {sizes[0]} codes, not {sizes[1]}: {consequence}"
        )


def _tokenizer_name(manifest: Mapping[str, Any]) -> str:
    tokenizer = manifest["tokenizer"]
    if tokenizer is None:
        return "unknown"
    return f"'{tokenizer['name']}' ({tokenizer['fingerprint'][:12]})"


def _is_manifest(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(Manifest.__annotations__) <= set(value)
        and isinstance(value["format"], int)
        and isinstance(value["codebook_sizes"], list)
        and all(isinstance(size, int) and size > 0 for size in value["codebook_sizes"])
        and value["length"] == len(value["codebook_sizes"])
        and value["collisions"] in ("rank", "move")
        and _has(value["tokenizer"], TokenizerRef)
        and _has(value["catalogue"], CatalogueRef)
    )


def _has(value: Any, kind: type) -> bool:
    fields = kind.__annotations__
    return value is None or (isinstance(value, dict) and set(fields) <= set(value))

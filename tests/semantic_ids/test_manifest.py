from __future__ import annotations

import json
from typing import Any

import pytest

from mmq.errors import FormatError
from mmq.semantic_ids._manifest import (
    CatalogueRef,
    ImportedRef,
    TokenizerRef,
    append_command,
    build_manifest,
    parse_manifest,
    require_same_tokenizer,
    to_json,
)

MMQ = TokenizerRef(name="mmq", fingerprint="a" * 64)
FIT = {"fvu_codes": {"fit": 0.5, "held_out": None}, "bound": 0.4, "noise": 0.9}
KNOWN: Any = {**MMQ, "positions": {"text": [0], "image": [1]}, "fit": FIT, "tuned_from": ["b" * 64]}
FULL = build_manifest(
    [100, 50],
    tokenizer=KNOWN,
    catalogue=CatalogueRef(fingerprint="c0", items=7),
    ordered=True,
    collisions="move",
    lacking={"image": {"items": 3, "codes": [[1, 17, 2], [1, 49, 1]]}},
)


FILE = ImportedRef(file="index.json", sha256="c" * 64, columns=["values"], first_codes=[0, 0])
IMPORTED: Any = {**build_manifest([100, 50]), "imported": [FILE]}


def test_round_trip() -> None:
    assert parse_manifest(to_json(IMPORTED), "ids.parquet") == IMPORTED
    assert parse_manifest(to_json(FULL), "ids.parquet") == FULL
    assert parse_manifest(to_json(build_manifest([3])), "ids.parquet")["tokenizer"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("length", 3),
        ("codebook_sizes", [100, 0]),
        ("codebook_sizes", "100"),
        ("tokenizer", {"name": "mmq"}),
        ("catalogue", 3),
        ("collisions", "drop"),
        ("format", None),
        ("tokenizer", {**MMQ, "positions": {"text": [0]}}),
        ("tokenizer", {**MMQ, "positions": {"text": [0, 2]}}),
        ("tokenizer", {**MMQ, "positions": [0, 1]}),
        ("tokenizer", {**MMQ, "fit": {"fvu_codes": {}}}),
        ("tokenizer", {**MMQ, "fit": {**FIT, "fvu_codes": {"fit": "low"}}}),
        ("lacking", ["image"]),
        ("lacking", {"image": {"items": 3}}),
        ("lacking", {"image": {"items": 3, "codes": [[2, 0, 1]]}}),
        ("lacking", {"image": {"items": 3, "codes": [[1, 50, 1]]}}),
        ("imported", "index.json"),
        ("imported", [{"file": "index.json"}]),
        ("imported", [{**IMPORTED["imported"][0], "file": 3}]),
    ],
)
def test_a_wrong_field_is_refused(field: str, value: Any) -> None:
    with pytest.raises(FormatError, match="lacks a field or has a wrong one"):
        parse_manifest(json.dumps({**FULL, field: value}), "ids.parquet")


def test_a_table_of_an_older_mmq_goes_on_loading() -> None:
    older = {name: value for name, value in FULL.items() if name != "lacking"}
    older["tokenizer"] = MMQ
    found = parse_manifest(json.dumps(older), "ids.parquet")
    assert found == older
    require_same_tokenizer(found, FULL, "never said")


@pytest.mark.parametrize("field", sorted(set(FULL) - {"lacking"}))
def test_a_missing_field_is_refused(field: str) -> None:
    rest = {name: value for name, value in FULL.items() if name != field}
    with pytest.raises(FormatError, match=r"ids\.parquet lacks"):
        parse_manifest(json.dumps(rest), "ids.parquet")


@pytest.mark.parametrize("text", ["{", b"\xff\xfe\x00", ""])
def test_damaged_text_is_refused(text: str | bytes) -> None:
    with pytest.raises(FormatError, match="damaged"):
        parse_manifest(text, "ids.parquet")


def test_a_newer_format_asks_for_an_upgrade_whatever_else_it_holds() -> None:
    with pytest.raises(FormatError, match=r"written by a newer mmq \(9\.0.*upgrade"):
        parse_manifest('{"format": 2, "mmq": "9.0"}', "ids.parquet")


def test_same_tokenizer_passes() -> None:
    require_same_tokenizer(FULL, build_manifest([100, 50], tokenizer=MMQ), "never said")
    require_same_tokenizer(build_manifest([5]), build_manifest([5]), "never said")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            build_manifest([100, 50], tokenizer=TokenizerRef(name="mmq", fingerprint="b" * 64)),
            r"tokenizer 'mmq' \(aaaaaaaaaaaa\), not 'mmq' \(bbbbbbbbbbbb\): it would mix",
        ),
        (build_manifest([100, 50]), "not unknown: it would mix"),
        (build_manifest([100, 51], tokenizer=MMQ), r"\[100, 50\] codes, not \[100, 51\]: it would"),
    ],
)
def test_another_tokenizer_is_refused(other: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        require_same_tokenizer(FULL, other, "it would mix")


def test_ids_made_elsewhere_belong_to_no_tokenizer() -> None:
    longer = {**IMPORTED, "imported": [FILE, {**FILE, "file": "more.json"}]}
    require_same_tokenizer(IMPORTED, longer, "never said")
    require_same_tokenizer(longer, IMPORTED, "never said")
    expected = r"imported from index.json and 1 more, not made by tokenizer 'mmq' \(a+\): it would"
    with pytest.raises(FormatError, match=expected):
        require_same_tokenizer(longer, FULL, "it would mix")
    with pytest.raises(
        FormatError, match=r"tokenizer 'mmq' \(a+\), not elsewhere \(index.json\): it"
    ):
        require_same_tokenizer(FULL, IMPORTED, "it would mix")
    assert append_command(IMPORTED) == "mmq import ids --append"
    assert append_command(FULL) == "mmq encode --append"

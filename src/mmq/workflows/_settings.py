"""The settings of a kind of model: names, values, defaults and meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmq.errors import SettingsError, nearest
from mmq.finetuning import FinetuneSettings
from mmq.model import FAMILIES, kinds
from mmq.settings import Settings

STAGE_2 = "finetune"
"""What ``mmq finetune --set`` sets, among the kinds."""

_ROLES = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
_NUMBERS = {"integer": "whole number", "number": "number"}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


def settings_of(kind: str) -> dict[str, Any]:
    """Every setting of a kind: its name, the values that it may have, its default, its meaning.

    Args:
        kind: of tokenizer, recommender or ranker, or "finetune".

    Raises:
        SettingsError: there is no such kind.

    Example: ``settings_of("sasrec")["settings"][0]["name"]``
    """
    family, settings_class = _class_of(kind)
    schema = settings_class.model_json_schema()["properties"]
    return {
        "kind": kind,
        "family": family,
        "settings": [_described(name, each) for name, each in schema.items()],
    }


def defaults_of(kind: str) -> dict[str, Any]:
    """The settings of a kind at their defaults, as plain values.

    Raises:
        SettingsError: there is no such kind.
    """
    return _class_of(kind)[1]().to_dict()


def kinds_by_family() -> dict[str, list[str]]:
    """Family -> its kinds, and "finetune"."""
    return {
        **{family: sorted(kinds(family)) for family in FAMILIES},
        "fine-tuning": [STAGE_2],
    }


def _class_of(kind: str) -> tuple[str, type[Settings]]:
    """Family of a kind, and the class of its settings."""
    known = _classes()
    if kind not in known:
        raise SettingsError(f"there is no kind '{kind}' of model; {nearest(kind, known)}")
    return known[kind]


def _classes() -> dict[str, tuple[str, type[Settings]]]:
    """Kind -> family and class of its settings."""
    found = {
        kind: (family, each.settings_class)
        for family in FAMILIES
        for kind, each in kinds(family).items()
    }
    return {**found, STAGE_2: ("fine-tuning", FinetuneSettings)}


def _described(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "values": " or ".join(_values(schema)),
        "default": schema.get("default"),
        "meaning": plain(schema.get("description", "")),
    }


def _values(schema: Mapping[str, Any]) -> Iterator[str]:
    """What a value may be, in words; one text for each form."""
    if "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from _values(each)
    elif "enum" in schema:
        yield from map(str, schema["enum"])
    elif schema["type"] == "array":
        yield f"list of {' or '.join(_values(schema['items']))}"
    elif schema["type"] == "object":
        yield f"{' or '.join(_values(schema['additionalProperties']))} for each name"
    elif schema["type"] == "boolean":
        yield "true or false"
    else:
        kind = "none" if schema["type"] == "null" else schema["type"]
        bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
        yield " ".join([_NUMBERS.get(kind, kind), ", ".join(bounds)]).strip()


def plain(text: str) -> str:
    """A docstring as one line, without its markup.

    >>> plain("Half of ``epochs``,\\nsee :class:`~mmq.Catalogue`.")
    'Half of epochs, see Catalogue.'
    """
    return " ".join(_ROLES.sub(r"\1", text).replace("``", "").split())

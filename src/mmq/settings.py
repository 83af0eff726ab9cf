"""Settings: frozen, typed, checked where they are made, refusing unknown names."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mmq.errors import FormatError, SettingsError, nearest


class Settings(BaseModel):
    """Base of all settings classes.

    Make one with :meth:`parse`, which turns every problem into one readable
    :class:`~mmq.errors.SettingsError`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # what `mmq settings` says of each
    )

    removed: ClassVar[Mapping[str, Any]] = {}
    """Settings of older versions, which files may still hold -> the one value that is read."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain values (JSON, TOML or strings of ``--set``).

        Raises:
            SettingsError: an unknown name (with the nearest valid one) or a value out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise SettingsError(_sentence(cls, error)) from None

    @classmethod
    def parse_saved(cls, values: Mapping[str, Any]) -> Self:
        """Settings from a file that an older version may have written.

        Raises:
            SettingsError: as :meth:`parse`, or another value of a setting that was removed than
                the one that is still the case.
        """
        for name in cls.removed.keys() & values.keys():
            if values[name] != cls.removed[name]:
                raise SettingsError(
                    f"setting '{name}' = {values[name]!r} is of an older mmq; this one has only "
                    f"{cls.removed[name]!r}, so load it with the older version or fit it again"
                )
        return cls.parse({name: each for name, each in values.items() if name not in cls.removed})

    def to_dict(self) -> dict[str, Any]:
        """Plain values that :meth:`parse` reads back."""
        return self.model_dump(mode="json")


def _sentence(cls: type[BaseModel], error: ValidationError) -> str:
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"]) or cls.__name__
    if problem["type"] == "extra_forbidden":
        return f"unknown setting '{name}'; {nearest(name, cls.model_fields)}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if problem["type"] == "value_error" and not problem["loc"]:
        return message
    return f"setting '{name}' = {problem['input']!r} is not valid: {message}"


def gather(config: str | Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Values of a TOML file, overridden by ``key=value`` assignments.

    >>> gather(None, ["epochs=3", "codebook=ema"])
    {'epochs': 3, 'codebook': 'ema'}
    """
    values: dict[str, Any] = {}
    if config is not None:
        if not Path(config).is_file():
            raise SettingsError(f"there is no settings file at {config}; check the path")
        try:
            values = _parse_toml(Path(config).read_bytes().decode())
        except ValueError as error:
            raise FormatError(f"{config} is not valid TOML: {error}") from None
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise SettingsError(f"--set {assignment!r} should read key=value")
        *path, leaf = key.strip().split(".")
        target = values
        for part in path:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise SettingsError(f"--set {assignment!r}: '{part}' is not a group of settings")
        target[leaf] = _value(text)
    return values


def to_toml(values: Mapping[str, Any]) -> str:
    """TOML that :func:`gather` reads back, a line a value; None, which TOML lacks, is left out.

    >>> print(to_toml({"epochs": 3, "codebook": "ema", "input_noise": None, "hidden": [8, 4]}))
    epochs = 3
    codebook = "ema"
    hidden = [8, 4]
    <BLANKLINE>
    """
    lines = [f"{name} = {_toml(value)}\n" for name, value in values.items() if value is not None]
    return "".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        there = {name: each for name, each in value.items() if each is not None}
        pairs = (f"{_toml(name)} = {_toml(each)}" for name, each in there.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _value(text: str) -> Any:
    try:
        return _parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def _parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text.

    Raises:
        ValueError: it is no TOML, nests too deeply, or holds a number of thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None

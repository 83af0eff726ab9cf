"""The text of an item, put together from its columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from mmq.data._kinds import is_bytes, is_list
from mmq.data._texts import as_texts
from mmq.errors import DataError, SettingsError

_FIELD = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class TextTemplate:
    """Sentences with columns in them.

    A sentence whose columns are all empty is left out, so that an item without a director does not
    read "directed by .".

    Attributes:
        sentences: each is text and column names in turn, text first and last.

    >>> template = TextTemplate.parse("{title}. by {author}. {plot}")
    >>> template.fill(pa.table({"title": ["Kim"], "author": [None], "plot": ["A boy."]}))
    ['Kim. A boy.']
    """

    sentences: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, template: str) -> TextTemplate:
        """A template from ``"{column} text {column}. ..."``; ". " ends a sentence.

        Raises:
            SettingsError: it names no column, or a brace has no partner.
        """
        if re.search(r"[{}]", _FIELD.sub("", template)):
            raise SettingsError(
                f"--text-template {template!r}: a brace has no partner; write {{column}}"
            )
        if not _FIELD.search(template):
            raise SettingsError(
                f"--text-template {template!r} names no column; write for example "
                "'{title}. {description}'"
            )
        return cls(tuple(tuple(_FIELD.split(part)) for part in template.split(". ")))

    @classmethod
    def of_columns(cls, columns: tuple[str, ...]) -> TextTemplate:
        """One sentence a column, nothing else."""
        return cls(tuple(("", column, "") for column in columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, each once, in their order."""
        return tuple(dict.fromkeys(name for part in self.sentences for name in part[1::2]))

    @property
    def plain(self) -> bool:
        """Whether there is nothing but columns in it."""
        return all(sentence[::2] == ("", "") for sentence in self.sentences)

    def fill(self, table: pa.Table) -> list[str | None]:
        """The text of each row; None where all columns are empty.

        Raises:
            DataError: a column holds nested values.
        """
        values = {name: column_texts(table.column(name), name) for name in self.columns}
        rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
        return [self._text(row) if any(row.values()) else None for row in rows]

    def _text(self, values: Mapping[str, str]) -> str:
        parts = []
        for sentence in self.sentences:
            fields = [values[name] for name in sentence[1::2]]
            if fields and not any(fields):
                continue
            words = "".join(values[p] if i % 2 else p for i, p in enumerate(sentence)).strip()
            parts.append(words if all(fields) else re.sub(r"\s+", " ", words))
        return ". ".join(parts)


def column_texts(column: pa.ChunkedArray, name: str) -> list[str]:
    """Each value as text without space around it: lists joined with ", ", null as "".

    Raises:
        DataError: the column holds neither text, numbers nor lists of them.
    """
    kind = column.type
    inner = kind.value_type if is_list(kind) else kind
    if pa.types.is_nested(inner) or is_bytes(inner):
        raise DataError(
            f"column '{name}' holds {kind}; only text, numbers and lists of them can be embedded"
        )
    texts = as_texts(column, name).to_pylist()
    if inner is kind:
        return [(text or "").strip() for text in texts]
    return [", ".join(word.strip() for word in words or [] if word.strip()) for words in texts]

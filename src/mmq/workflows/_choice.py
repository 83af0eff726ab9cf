"""Which items a recommendation starts from and may give."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq._artifacts import require_file
from mmq.data._item_ids import ItemIndex
from mmq.data._parquet import CatalogueFile
from mmq.data._texts import as_text, as_texts, values_of
from mmq.errors import DataError, FormatError, SettingsError, nearest

if TYPE_CHECKING:
    from mmq.data._interactions import Interactions
    from mmq.recommenders import Recommender


class History(NamedTuple):
    """Item ids, oldest first, and how many others the model does not know."""

    items: list[Any]
    left_out: int = 0


class Shown:
    """What a catalogue tells people of its items.

    Args:
        path: the catalogue.

    Raises:
        DataError: no such file, or no catalogue.
        FormatError: it is truncated or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        file = CatalogueFile(path)
        self.path, self.attributes = path, file.attribute_table()
        self._index = ItemIndex(file.item_ids())

    def titles(self, item_ids: pa.Array) -> list[str | None]:
        """Title of each item, None where there is none."""
        if "title" not in self.attributes.column_names:
            return [None] * len(item_ids)
        titles = as_text(self.attributes.column("title"), "title").combine_chunks()
        found: list[str | None] = titles.take(self._rows(item_ids)).to_pylist()
        return found

    def column(self, name: str, item_ids: pa.Array) -> pa.Array:
        """An attribute of each item, null where there is none."""
        return self.attributes.column(name).combine_chunks().take(self._rows(item_ids))

    def have(self, item_ids: pa.Array, category: str) -> np.ndarray:
        """Which items have a value, ``(items,)`` bool.

        Args:
            item_ids: of the items.
            category: ``COLUMN=VALUE``; one value of the item has to be VALUE to the letter. The
                values of an item are those of its list, or those that "|" parts in its text.

        Raises:
            SettingsError: it does not read so.
            DataError: there is no such column, or nothing has that value.
        """
        column, separator, value = category.partition("=")
        if not (column and separator and value):
            raise SettingsError(f"--category {category!r} should read COLUMN=VALUE")
        known = self.attributes.column_names
        if column not in known:
            hint = nearest(column, known) if known else "it was made without attributes"
            raise DataError(f"{self.path} has no column '{column}' of attributes; {hint}")
        entries = list(map(values_of, as_texts(self.attributes.column(column), column).to_pylist()))
        mask = pa.array([value in each for each in entries])
        if not pc.any(mask).as_py():
            values = set().union(*entries)
            close = difflib.get_close_matches(value, values, n=1) or sorted(values)[:5]
            raise DataError(
                f"no item of {self.path} has '{value}' in its column '{column}'; values there "
                f"are such as {', '.join(map(repr, close))}"
            )
        found: np.ndarray = mask.take(self._rows(item_ids)).fill_null(False).to_numpy(False)
        return found

    def _rows(self, item_ids: pa.Array) -> pa.Array:
        """Row of each item, null where the catalogue lacks it."""
        rows = self._index.find(item_ids)
        return pa.array(rows, mask=rows < 0)


def history_of(model: Recommender[Any], log: Interactions, user: str) -> History:
    """The items of a user, without the items that the model does not know.

    Raises:
        DataError: the log has no such user, or the model knows none of the user's items.
    """
    users = log.users.ids.cast(pa.string())
    number = users.index(user).as_py()
    if number < 0:
        some = ", ".join(sorted(users[:100].to_pylist())[:3])
        raise DataError(
            f"the log has no user '{user}' with interactions that count; its {len(users):,} users "
            f"are such as {some}"
        )
    order = log.user_order()
    items = log.item_ids.take(pa.array(order[log.users.codes[order] == number]))
    known = ItemIndex(model.items.item_ids).find(items) >= 0
    if not known.any():
        raise DataError(
            f"the model knows none of the {len(items):,} items of user '{user}'; give items it "
            "knows with --history"
        )
    return History(items.filter(pa.array(known)).to_pylist(), int((~known).sum()))


def allowed_items(
    model: Recommender[Any], allow: str | Path | None, category: str | None, shown: Shown | None
) -> list[Any] | None:
    """Ids of the items that pass both filters; None where there is no filter.

    Raises:
        DataError: an allowed item is unknown, or no item passes.
    """
    item_ids = model.items.item_ids
    mask = np.ones(len(item_ids), bool)
    if allow is not None:
        listed = np.zeros(len(item_ids), bool)
        listed[model.rows_of(_lines(allow), str(allow))] = True
        mask &= listed
    if category is not None:
        assert shown is not None, "the command asks for a catalogue"
        mask &= shown.have(item_ids, category)
    if not mask.any():
        which = " and ".join(
            name for name, given in (("--allow", allow), (f"--category {category}", category))
            if given is not None
        )  # fmt: skip
        raise DataError(
            f"none of the {len(item_ids):,} items of the model passes {which}; allow others"
        )
    return None if mask.all() else item_ids.filter(pa.array(mask)).to_pylist()


def _lines(path: str | Path) -> list[str]:
    """Item ids of a file, one a line."""
    try:
        lines = require_file(path, "list of allowed items").read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not UTF-8 text ({error.reason}); give a text file of one item id a line"
        ) from None
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise DataError(f"{path} allows no item; write one item id a line")
    return ids

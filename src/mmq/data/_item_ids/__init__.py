"""The one home of ids: how they are read, what they have to be, and where they are found."""

from mmq.data._item_ids.checks import check_ids
from mmq.data._item_ids.content import content
from mmq.data._item_ids.index import ItemIndex
from mmq.data._item_ids.reading import (
    are_alike,
    as_ids,
    as_item_ids,
    as_numbers,
    as_string,
    end_to_end,
    joined,
    places,
    same_type,
    without_empty,
)

__all__ = [
    "ItemIndex",
    "are_alike",
    "as_ids",
    "as_item_ids",
    "as_numbers",
    "as_string",
    "check_ids",
    "content",
    "end_to_end",
    "joined",
    "places",
    "same_type",
    "without_empty",
]

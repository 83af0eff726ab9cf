"""The one home of ids: how they are read, what they have to be, and where they are found."""

from mmq.data.item_ids.checks import check_ids
from mmq.data.item_ids.content import content
from mmq.data.item_ids.index import ItemIndex
from mmq.data.item_ids.reading import (
    as_ids,
    as_item_ids,
    as_numbers,
    as_string,
    joined,
    same_type,
    without_empty,
)

__all__ = [
    "ItemIndex",
    "as_ids",
    "as_item_ids",
    "as_numbers",
    "as_string",
    "check_ids",
    "content",
    "joined",
    "same_type",
    "without_empty",
]

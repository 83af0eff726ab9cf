"""Semantic IDs made elsewhere, in any of the usual forms -> item ids and codes."""

from mmq.semantic_ids._imported.columns import IdColumns
from mmq.semantic_ids._imported.reading import ImportedIds, read_ids

__all__ = ["IdColumns", "ImportedIds", "read_ids"]

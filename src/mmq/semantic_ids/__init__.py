"""The table item -> semantic ID: collisions, append, drift, statistics, Parquet. No torch."""

from mmq.semantic_ids._append import Appended, append
from mmq.semantic_ids._collisions import Candidates, Moved, move_collisions
from mmq.semantic_ids._drift import Drift, drift
from mmq.semantic_ids._imported import IdColumns
from mmq.semantic_ids._lacking import Lacking
from mmq.semantic_ids._manifest import (
    CatalogueRef,
    FitRef,
    Manifest,
    TokenizerRef,
    build_manifest,
    require_same_tokenizer,
)
from mmq.semantic_ids._newer import require_newer_table
from mmq.semantic_ids._quality import CatalogueFacts, Quality, catalogue_facts, inspect_ids
from mmq.semantic_ids._table import SemanticIDs
from mmq.semantic_ids._verdict import Verdict, verdict

__all__ = [
    "Appended",
    "Candidates",
    "CatalogueFacts",
    "CatalogueRef",
    "Drift",
    "FitRef",
    "IdColumns",
    "Lacking",
    "Manifest",
    "Moved",
    "Quality",
    "SemanticIDs",
    "TokenizerRef",
    "Verdict",
    "append",
    "build_manifest",
    "catalogue_facts",
    "drift",
    "inspect_ids",
    "move_collisions",
    "require_newer_table",
    "require_same_tokenizer",
    "verdict",
]

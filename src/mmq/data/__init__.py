"""Plain data in: catalogues, interactions, readers and data sets. No torch."""

from mmq.data._catalogue import Catalogue
from mmq.data._interactions import Interactions, write_interactions
from mmq.data._log import LogReader, read_interactions
from mmq.data._parquet import CatalogueFile, read_catalogue, write_catalogue
from mmq.data._reduction import Reduction

__all__ = [
    "Catalogue",
    "CatalogueFile",
    "Interactions",
    "LogReader",
    "Reduction",
    "read_catalogue",
    "read_interactions",
    "write_catalogue",
    "write_interactions",
]

"""Plain data in: catalogues, interactions, readers and data sets. No torch."""

from mmq.data.catalogue import Catalogue
from mmq.data.parquet import CatalogueFile, read_catalogue, write_catalogue
from mmq.data.reduction import Reduction

__all__ = ["Catalogue", "CatalogueFile", "Reduction", "read_catalogue", "write_catalogue"]

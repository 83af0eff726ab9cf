"""toyshop: a small shop that is generated, with the truth about every toy and every shopper known.

Toys have written titles and descriptions and drawn pictures. Behind both stand known factors
(:data:`FACTORS`): some only the words tell, some only the picture shows, some both, and one, the
``pairing``, only the two together: the words name the team a toy is made for, the picture shows the
colour of its badge, and whether the two match cannot be known from either. Shoppers care for the
pairing, so toys that read and look alike sell differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from mmq._artifacts import write_file, write_folder
from mmq.data._datasets.toyshop.factors import FACTORS, Factor, draw_factors
from mmq.data._datasets.toyshop.pictures import PICTURE_SIZE, draw_picture
from mmq.data._datasets.toyshop.shoppers import Shoppers, draw_shoppers
from mmq.data._datasets.toyshop.words import write_words
from mmq.settings import Settings

__all__ = ["FACTORS", "PICTURE_SIZE", "Factor", "Shoppers", "Toyshop", "ToyshopSettings", "toyshop"]


class ToyshopSettings(Settings):
    """What shop to generate.

    Attributes:
        items: how many toys.
        shoppers: how many shoppers.
        purchases: how many a shopper makes on average.
        match_share: share of the toys whose badge has the colour of their team.
        late_share: share of the toys that come on sale only in the last 40% of the year.
        seed: of everything random; the same settings give the same shop, byte for byte.
    """

    items: int = Field(2000, ge=10, le=1_000_000)
    shoppers: int = Field(3000, ge=1, le=10_000_000)
    purchases: float = Field(15.0, ge=5, le=1000)
    match_share: float = Field(0.5, gt=0, lt=1)
    late_share: float = Field(0.15, ge=0, lt=1)
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class Toyshop:
    """A generated shop.

    Attributes:
        settings: what it was generated from.
        factors: factor name -> ``(items,)`` int64 levels, the truth.
        items: table ``item_id`` (1, 2, ... in row order), ``title``, ``description``.
        shoppers: tastes, popularity, launches and the log of purchases.
    """

    settings: ToyshopSettings
    factors: Mapping[str, np.ndarray]
    items: pa.Table
    shoppers: Shoppers

    def __len__(self) -> int:
        return int(self.items.num_rows)

    @property
    def interactions(self) -> pa.Table:
        """The log: ``user_id, item_id, timestamp`` (seconds since 1970), ``rating`` (1 to 5)."""
        return self.shoppers.interactions

    @cached_property
    def texts(self) -> list[str]:
        """Title and description of each item, joined."""
        titles, descriptions = (
            self.items.column(name).to_pylist() for name in ("title", "description")
        )
        return [f"{title}. {text}" for title, text in zip(titles, descriptions, strict=True)]

    def picture(self, row: int) -> Image.Image:
        """The picture of the item at ``row``, drawn anew, the same each time (RGB, square)."""
        levels = {name: int(column[row]) for name, column in self.factors.items()}
        return draw_picture(levels, np.random.default_rng([self.settings.seed, row, 3]))

    def pictures(self) -> Iterator[Image.Image]:
        """All pictures, in row order, one at a time."""
        return (self.picture(row) for row in range(len(self)))

    def write_pictures(self, folder: str | Path) -> list[Path]:
        """Paths of the pictures, written as ``<item_id>.png`` into ``folder``, in row order.

        Raises:
            DataError: the folder holds other files, or the disk is full.
        """
        folder = Path(folder)
        names = [f"{item}.png" for item in self.items.column("item_id").to_pylist()]
        with write_folder(folder, marker=names[0]) as temporary:
            for name, picture in zip(names, self.pictures(), strict=True):
                with write_file(temporary / name) as path:
                    picture.save(path, format="PNG")
        return [folder / name for name in names]


def toyshop(settings: ToyshopSettings | None = None) -> Toyshop:
    """Generate the shop; the same settings give the same shop, byte for byte.

    >>> shop = toyshop(ToyshopSettings(items=20, shoppers=5))
    >>> len(shop), shop.picture(0).size
    (20, (96, 96))
    """
    settings = settings or ToyshopSettings()
    factors = draw_factors(
        settings.items, settings.match_share, np.random.default_rng([settings.seed, 0])
    )
    titles, descriptions = write_words(factors, np.random.default_rng([settings.seed, 1]))
    shoppers = draw_shoppers(
        factors,
        settings.shoppers,
        settings.purchases,
        settings.late_share,
        np.random.default_rng([settings.seed, 2]),
    )
    item_ids = pa.array(np.arange(1, settings.items + 1, dtype=np.int64))
    items = pa.table({"item_id": item_ids, "title": titles, "description": descriptions})
    return Toyshop(settings, factors, items, shoppers)

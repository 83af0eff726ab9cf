"""The stages of the path from a catalogue to recommendations, as commands."""

from __future__ import annotations

import math
from typing import NamedTuple

LARGE = 100_000
"""Items above which few users are served: a scan of all items for each is known to be linear."""

USERS, FEW_USERS = 10_000, 200
SAMPLE = 20_000
"""Items that a tokenizer is fitted to, at most."""

LAST = 8
"""Parts of a world, at least; the last one's items come later and are appended."""

_LOG = "--interactions world/interactions"
_NARROW = "--set hidden_dim=64 --set token_layers=0 --set item_layers=1 --set history=20"


class Stage(NamedTuple):
    """One command.

    Attributes:
        command: with ``{items}``, ``{users}``, ``{parts}``, ``{epochs}`` and
            ``{sample}``.
        makes: a file or folder that is there when it is done.
    """

    command: str
    makes: str


STAGES = {
    "world": Stage(
        "benchmarks.world --items {items} --users {users} --parts {parts} --out world",
        "world/world.json",
    ),
    "fit": Stage(
        "mmq fit world/catalogue --out tokenizer --set codebook_size=100{sample}", "tokenizer"
    ),
    "encode": Stage("mmq encode before --tokenizer tokenizer --out older.parquet", "older.parquet"),
    "append": Stage(
        "mmq encode world/catalogue --tokenizer tokenizer --append older.parquet --out ids.parquet",
        "ids.parquet",
    ),
    "inspect": Stage("mmq inspect ids.parquet --catalogue world/catalogue --json", "ids.parquet"),
    "train": Stage(
        f"mmq train retrieval {_LOG} --ids ids.parquet --out model --min-interactions 0 "
        f"--set item_token=false --set epochs={{epochs}} {_NARROW}",
        "model",
    ),
    "evaluate": Stage(f"mmq evaluate model {_LOG} --json", "model"),
    "recommend": Stage(
        f"mmq recommend model --users all {_LOG} --exclude-history --out shown.parquet",
        "shown.parquet",
    ),
}
"""Stage -> command; each needs those before it."""


class Size(NamedTuple):
    """A world's size, and what is done with it."""

    items: int
    users: int
    parts: int
    epochs: int

    @classmethod
    def of(cls, items: int) -> Size:
        """With as many users as leave a stage's time to the items."""
        users = USERS if items <= LARGE else FEW_USERS
        return cls(items, users, max(LAST, math.ceil(items / 65_536)), 1)

    def command(self, stage: str) -> str:
        """What is run."""
        sample = f" --sample {SAMPLE}" if self.items > SAMPLE else ""
        return STAGES[stage].command.format(**self._asdict(), sample=sample)

    def handled(self, stage: str) -> int:
        """Items that a stage goes through."""
        before = self.items * (self.parts - 1) // self.parts
        return {"encode": before, "append": self.items - before}.get(stage, self.items)

"""Items and logs of the experiments: ML-1M, Amazon Beauty, and generated toys.

The real ones lie in folders ``ml1m`` and ``beauty`` of one folder, DATA: ``items.jsonl``,
``interactions.parquet``, ``text_minilm.npy`` and, of ML-1M, ``image_effnet.npy``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq import Catalogue
from mmq.data import Interactions, Reduction, read_interactions
from mmq.data._cold import withhold_items
from mmq.data._datasets.toyshop import ToyshopSettings, toyshop
from mmq.data._sequences import Cases, Sequences
from mmq.encoders._behaviour import BehaviourSettings, embed_behaviour
from mmq.encoders._light import LightTextEncoder
from mmq.encoders._predicted import learn_prediction
from mmq.encoders._toyshop import embed_toyshop
from mmq.metrics import quantisation
from mmq.recommenders import RetrievalData

BEHAVIOUR = "behaviour"
"""Name of the modality."""
COLD_SHARE = 0.05
"""Of the items that a log loses altogether; their interactions are the cold cases."""


def items_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of items.jsonl."""
    lines = (folder / "items.jsonl").read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def reduced(matrix: np.ndarray, dimension: int = 256) -> np.ndarray:
    """PCA of the rows that are present; the others stay NaN."""
    matrix = matrix.astype(np.float32)
    present = ~np.isnan(matrix).all(axis=1)
    out = np.full((len(matrix), dimension), np.nan, np.float32)
    out[present] = Reduction.fit(matrix[present], dimension).apply(matrix[present])
    return out


def films(data: Path) -> Catalogue:
    """ML-1M: plots by MiniLM and posters by EfficientNet, each reduced to 256 dimensions."""
    return _films(data / "ml1m")


def films_with_cast(data: Path) -> Catalogue:
    """The films with cast and crew, embedded by the light encoder, as a third modality."""
    folder = data / "ml1m"
    credits = [(each.get("director") or "", each.get("actors") or "") for each in items_of(folder)]
    people = LightTextEncoder().encode([". ".join(each) for each in credits])
    people[[not any(each) for each in credits]] = np.nan
    return _films(folder, cast=reduced(people, 128))


def films_without_posters(data: Path) -> Catalogue:
    """The films; a fifth of the posters are taken away."""
    folder = data / "ml1m"
    posters = reduced(np.load(folder / "image_effnet.npy"))
    posters[np.random.default_rng(0).random(len(posters)) < 0.2] = np.nan
    return _films(folder, image=posters)


def _films(folder: Path, **more: np.ndarray) -> Catalogue:
    embeddings = {
        "text": reduced(np.load(folder / "text_minilm.npy")),
        "image": reduced(np.load(folder / "image_effnet.npy")),
    }
    return Catalogue.build([each["item"] for each in items_of(folder)], {**embeddings, **more})


def articles(data: Path) -> Catalogue:
    """Amazon Beauty: titles by MiniLM; the items without a title miss their only modality."""
    folder = data / "beauty"
    items = items_of(folder)
    text = np.load(folder / "text_minilm.npy").astype(np.float32)
    text[[not each.get("title") for each in items]] = np.nan
    return Catalogue.build([each["item"] for each in items], {"text": reduced(text)})


def toys(items: int, seed: int) -> Catalogue:
    """Generated toys, by the light encoders."""
    return embed_toyshop(toyshop(ToyshopSettings(items=items, seed=seed)))


class Log(NamedTuple):
    """Where the log of a data set lies, and how its columns are called."""

    folder: str
    columns: dict[str, str]
    cold: bool

    def path(self, data: Path) -> Path:
        """Of the file."""
        return data / self.folder / "interactions.parquet"

    def liked(self, data: Path) -> Interactions:
        """The 5-core of what was liked (of ML-1M: rated above 3)."""
        return read_interactions(self.path(data), self.columns).positives().k_core(5)


LOGS = {
    "ml1m": Log("ml1m", {"user_id": "user", "item_id": "item"}, True),
    "beauty": Log("beauty", {"user_id": "user", "item_id": "item", "timestamp": "position"}, False),
}
CATALOGUES = {"ml1m": films, "beauty": articles}


def use_of(codes: np.ndarray, sizes: Sequence[int]) -> dict[str, float]:
    """How evenly codes are used, and how many items have an ID of their own."""
    counts = quantisation.code_counts(codes, sizes)
    return {
        "entropy": float(quantisation.entropy(counts).mean()),
        "utilisation": float(quantisation.utilisation(counts).mean()),
        "distinct_share": quantisation.sharing(codes).distinct_share,
    }


def with_behaviour(
    items: Catalogue, histories: Sequences, settings: BehaviourSettings | None = None
) -> Catalogue:
    """The items with what users did in the training part as one more modality.

    Items without history borrow it by their content.
    """
    found = embed_behaviour(histories, len(items), settings or BehaviourSettings())
    if not found.present.all():
        found = learn_prediction([items], found).complete(items, found)
    return items.with_modality(BEHAVIOUR, found.matrix, found.present)


class World(NamedTuple):
    """A log as a retrieval model has it, split by leave-one-out.

    Attributes:
        data: what it learns from and is tested on.
        cold: cases of withheld items, each asked of its user's history before it.
        users: ``(users,)`` ids of those whom the test is of.
    """

    data: RetrievalData
    cold: Cases | None
    users: np.ndarray


def world(log: Interactions, items: Any, withheld_by: int | None) -> World:
    """Split a log, once the items that a seed withholds are out.

    Args:
        log: what was liked.
        items: their ids, or their semantic IDs.
        withheld_by: the seed; None withholds nothing.
    """
    withheld = None if withheld_by is None else withhold_items(log, COLD_SHARE, withheld_by)
    rest = withheld.rest.positives().k_core(5) if withheld else log
    data = RetrievalData.of(rest, items)
    users: np.ndarray = rest.users.ids.to_numpy(zero_copy_only=False)[np.unique(data.test.users)]
    return World(data, data.cold_cases(withheld) if withheld else None, users)

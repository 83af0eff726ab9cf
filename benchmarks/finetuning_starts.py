"""What stage 2 starts from: fitted tokenizers and recommenders of their IDs, kept in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from common import RESULTS, read

from mmq import Catalogue, SemanticIDs
from mmq.data.cold import withhold_items
from mmq.data.datasets.toyshop import ToyshopSettings, toyshop
from mmq.data.interactions import Interactions
from mmq.data.log import LogReader, read_interactions
from mmq.data.sequences import Cases
from mmq.encoders.behaviour import embed_behaviour
from mmq.encoders.predicted import learn_prediction
from mmq.encoders.toyshop import embed_toyshop
from mmq.model import model_class
from mmq.ranking import PPNet, Ranker, RankingData
from mmq.recommenders import HeterRec, Recommender, RetrievalData, SplitSettings
from mmq.tokenizers import NetworkTokenizer
from recommenders import (
    COLD_SHARE,
    CYCLE,
    DATASETS,
    HETERREC_BEAUTY,
    HETERREC_ML1M,
    tested_users,
)

DATA = DATASETS["ml1m"]
TOKENIZERS = {"MMQ": "mmq", "MA-RQ-VAE": "rqvae", "MS-RQ-VAE": "rqvae"}
FUSIONS = {"MA-RQ-VAE": "aligned", "MS-RQ-VAE": "separated"}
TUNED_ON = {"toyshop": "toyshop", "retrieval": "ml1m", "ranking": "ml1m", "beauty": "beauty"}
"""Setup -> the data set whose tuned settings its tokenizers have."""
OF_TWO = {"text": 1, "image": 1, "behaviour": 2}
EXPERTS = {
    "toyshop": OF_TWO, "retrieval": OF_TWO, "ranking": OF_TWO,
    "beauty": {"text": 2, "behaviour": 2},
}  # fmt: skip
"""MMQ's specific experts where behaviour is one more modality, so that IDs still have six codes;
RQ-VAE shares its positions by itself."""

TOYSHOP = {"items": 1500, "shoppers": 4000}
FIRST_SHOP = 101
HETERREC: dict[str, Mapping[str, Any]] = {
    "toyshop": {
        **CYCLE, "hidden_dim": 64, "history": 20, "token_layers": 1, "epochs": 15, "dropout": 0.5,
        "item_token": False,
    },
    "retrieval": HETERREC_ML1M,
    "beauty": {**HETERREC_BEAUTY, "hidden_dim": 64, "epochs": 8},
}  # fmt: skip


RANKER = {
    "epochs": 12, "patience": 2, "learning_rate": 1e-3, "schedule": "constant", "dropout": 0.2,
}  # fmt: skip


class Start(NamedTuple):
    """What a fine-tuning starts from.

    Attributes:
        catalogue: the items of the recommender, behaviour among the modalities or not.
        tokenizer: fitted to it.
        student: the recommender of its IDs.
        data: what it was fitted to.
        cold: cases of items that were withheld.
        users: ids of those whom figures are of.
        factors: what is true of every item, where that is known.
    """

    catalogue: Catalogue
    tokenizer: Any
    student: Any
    data: Any
    cold: Cases | None
    users: np.ndarray | None
    factors: Mapping[str, np.ndarray] = MappingProxyType({})


class Kind(NamedTuple):
    """Which tokenizer and which recommender of its IDs.

    Attributes:
        name: of the tokenizer.
        behaviour: whether that is one more modality.
        model: settings of the recommender that differ from the usual ones.
        kept: name of the recommender's folder.
    """

    name: str
    behaviour: bool
    model: Mapping[str, Any] = MappingProxyType({})
    kept: str = "model"


class Place(NamedTuple):
    """Where a start is kept.

    Attributes:
        setup: which data.
        kind: of both.
        seed: of all.
        cache: folder of all starts.
    """

    setup: str
    kind: Kind
    seed: int
    cache: Path

    @property
    def folder(self) -> Path:
        """Of the tokenizer, and of recommenders of its IDs."""
        behaviour = " behaviour" * self.kind.behaviour
        return self.cache / f"{self.setup} {self.kind.name}{behaviour} {self.seed}"

    @property
    def model(self) -> Path:
        """Of the recommender."""
        return self.folder / self.kind.kept


class Withheld(NamedTuple):
    """A log of which some items are withheld.

    Attributes:
        rest: the log without them.
        data: what a recommender learns from it, and is tested on.
        cold: cases of the withheld items.
    """

    rest: Interactions
    data: RetrievalData
    cold: Cases

    @classmethod
    def of(cls, log: Interactions, seed: int) -> Withheld:
        """All items of the log take part; those withheld are of the seed."""
        found = withhold_items(log, COLD_SHARE, seed)
        rest = found.rest.positives().k_core(5)
        data = RetrievalData.of(rest, log.items.ids)
        return cls(rest, data, data.cold_cases(found))


def positives(setup: str, folder: Path) -> Interactions:
    """The log that retrieval learns from."""
    known = DATASETS[TUNED_ON[setup]]
    log = read_interactions(folder / "interactions.parquet", known.columns)
    return log.positives().k_core(5)


def retrieval(folder: Path, place: Place) -> Start:
    """HeterRec on IDs of a tokenizer, on ML-1M or Beauty."""
    items = DATASETS[TUNED_ON[place.setup]].catalogue(folder)
    return of_log(place, positives(place.setup, folder), items)


def shop(_: Path, place: Place) -> Start:
    """The same in a generated shop."""
    made = toyshop(ToyshopSettings(**TOYSHOP, seed=FIRST_SHOP + place.seed))
    log = Interactions.build(made.interactions).positives().k_core(5)
    items = embed_toyshop(made)
    start = of_log(place, log, items)
    rows = items.rows(start.student.semantic_ids.item_ids.to_pylist())
    assert start.users is not None
    factors = {key: levels[rows] for key, levels in made.factors.items()}
    users = start.users + place.seed * TOYSHOP["shoppers"]  # other shops have other shoppers
    return start._replace(users=users, factors=factors)


def of_log(place: Place, log: Interactions, items: Catalogue) -> Start:
    """A tokenizer of the items of a log, and HeterRec on its IDs; some items are withheld."""
    items = items.take(items.rows(log.items.ids.to_pylist()))
    rest, plain, cold = Withheld.of(log, place.seed)
    if place.kind.behaviour:
        items = with_behaviour(items, plain)
    tokenizer = fitted(place, items)
    data = plain._replace(ids=ids_of(tokenizer, items))
    if not place.model.exists():
        made = HeterRec(**{**HETERREC[place.setup], **place.kind.model}, seed=place.seed)
        made.fit(data)
        made.save(place.model)
    users = tested_users(rest, data)
    return Start(items, tokenizer, Recommender.load(place.model), data, cold, users)


def ranking(folder: Path, place: Place) -> Start:
    """PPNet on item IDs and IDs of a tokenizer."""
    file = folder / "interactions.parquet"
    data = RankingData.of(LogReader.open(file, DATA.columns))
    items = DATA.catalogue(folder)
    items = items.take(items.rows(data.item_ids.to_pylist()))
    if place.kind.behaviour:
        split = SplitSettings(split="stored", min_interactions=0)
        log = read_interactions(file, DATA.columns)
        items = with_behaviour(items, RetrievalData.of(log, items.item_ids, split))
    tokenizer = fitted(place, items)
    if not place.model.exists():
        made = PPNet(**{**RANKER, **place.kind.model}, seed=place.seed)
        made.fit(data, ids_of(tokenizer, items))
        made.save(place.model)
    return Start(items, tokenizer, Ranker.load(place.model), data, None, None)


def ids_of(tokenizer: Any, items: Catalogue) -> SemanticIDs:
    """Those that the tokenizer gives."""
    return SemanticIDs.build(items.item_ids, tokenizer.encode(items), tokenizer.codebook_sizes)


def with_behaviour(items: Catalogue, data: RetrievalData) -> Catalogue:
    """The catalogue with what users did in the training part as one more modality."""
    found = embed_behaviour(data.train, len(items))
    if not found.present.all():
        found = learn_prediction([items], found).complete(items, found)
    return items.with_modality("behaviour", found.matrix, found.present)


def fitted(place: Place, items: Catalogue) -> Any:
    """The tokenizer, fitted once, without refinement so that its codes have a gradient."""
    folder, name = place.folder / "tokenizer", place.kind.name
    if not folder.exists():
        known = read(RESULTS / f"quantisers_{TUNED_ON[place.setup]}.json")["tuning"]
        tuned = known.get(name) or known[name.removeprefix("MA-").removeprefix("MS-")]
        own: dict[str, Any] = {"refinement": 0, "seed": place.seed}
        if name in FUSIONS:
            own["fusion"] = FUSIONS[name]
        elif place.kind.behaviour:
            own["specific_experts"] = EXPERTS[place.setup]
        kind = TOKENIZERS[name]
        way = {"learning": "gradient"} if kind == "mmq" else {}
        tokenizer = model_class("tokenizer", kind)(**{**way, **tuned["settings"], **own})
        tokenizer.fit(items)
        tokenizer.save(folder)
    return NetworkTokenizer.load(folder)


SETUPS: dict[str, Callable[[Path, Place], Start]] = {
    "toyshop": shop,
    "retrieval": retrieval,
    "ranking": ranking,
    "beauty": retrieval,
}

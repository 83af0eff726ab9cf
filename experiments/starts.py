"""What stage 2 starts from: fitted tokenizers and recommenders of their IDs, kept for all rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from experiments.data import CATALOGUES, LOGS, World, with_behaviour, world
from experiments.experiment import Context
from experiments.quantisers import settings_found
from experiments.ranking import impressions
from experiments.retrieval import CODES_ALONE, HETERREC_BEAUTY, HETERREC_ML1M, Settings, ids_of
from mmq import Catalogue
from mmq.data import Interactions, read_interactions
from mmq.data._datasets.toyshop import ToyshopSettings, toyshop
from mmq.encoders._toyshop import embed_toyshop
from mmq.model import model_class
from mmq.ranking import PPNet, Ranker
from mmq.recommenders import HeterRec, Recommender, RetrievalData, SplitSettings
from mmq.tokenizers import NetworkTokenizer

TOKENIZERS = {
    "MMQ": ("mmq", {}),
    "MA-RQ-VAE": ("rqvae", {"fusion": "aligned"}),
    "MS-RQ-VAE": ("rqvae", {"fusion": "separated"}),
}
DATA = {"toyshop": "toyshop", "retrieval": "ml1m", "ranking": "ml1m", "beauty": "beauty"}
"""Setup -> the data set, whose tuned settings its tokenizers have."""
OF_TWO = {"text": 1, "image": 1, "behaviour": 2}
EXPERTS = {**dict.fromkeys(DATA, OF_TWO), "beauty": {"text": 2, "behaviour": 2}}
"""MMQ's specific experts where behaviour is one more modality, so that IDs still have six codes;
RQ-VAE shares its positions by itself."""

FIRST_SHOP, SHOPPERS = 101, 4000
HETERREC: dict[str, Settings] = {
    "toyshop": {**CODES_ALONE, "hidden_dim": 64, "history": 20, "epochs": 15, "dropout": 0.5},
    "retrieval": HETERREC_ML1M,
    "beauty": {**HETERREC_BEAUTY, "hidden_dim": 64, "epochs": 8},
}
RANKER: Settings = {
    "epochs": 12, "patience": 2, "learning_rate": 1e-3, "schedule": "constant", "dropout": 0.2,
}  # fmt: skip


class Kind(NamedTuple):
    """Which tokenizer and which recommender of its IDs.

    Attributes:
        name: of the tokenizer.
        behaviour: whether that is one more modality.
        model: settings of the recommender that differ from the usual ones.
        kept: name under which the recommender is kept.
    """

    name: str
    behaviour: bool = False
    model: Settings = MappingProxyType({})
    kept: str = "model"


class Start(NamedTuple):
    """What a fine-tuning starts from.

    Attributes:
        catalogue: the items of the recommender, behaviour among the modalities or not.
        tokenizer: fitted to it.
        student: the recommender of its IDs.
        data: what it was fitted to.
        split: the same with cold cases and users, of retrieval.
        factors: what is true of every item, where that is known.
    """

    catalogue: Catalogue
    tokenizer: Any
    student: Any
    data: Any
    split: World | None = None
    factors: Mapping[str, np.ndarray] = MappingProxyType({})


def start(setup: str, kind: Kind, context: Context) -> Start:
    """The start of a setup: toyshop, retrieval (ML-1M), beauty or ranking (ML-1M)."""
    if setup == "ranking":
        return _ranking(kind, context)
    if setup == "toyshop":
        return _shop(kind, context)
    items = CATALOGUES[DATA[setup]](context.data)
    return _of_log(setup, kind, context, LOGS[DATA[setup]].liked(context.data), items)


def _shop(kind: Kind, context: Context) -> Start:
    """Retrieval in a generated shop, another for every seed."""
    made = toyshop(ToyshopSettings(items=1500, shoppers=SHOPPERS, seed=FIRST_SHOP + context.seed))
    log = Interactions.build(made.interactions).positives().k_core(5)
    items = embed_toyshop(made)
    found = _of_log("toyshop", kind, context, log, items)
    rows = items.rows(found.student.semantic_ids.item_ids.to_pylist())
    assert found.split is not None
    # other shops have other shoppers
    split = found.split._replace(users=found.split.users + context.seed * SHOPPERS)
    factors = {key: levels[rows] for key, levels in made.factors.items()}
    return found._replace(split=split, factors=factors)


def _of_log(setup: str, kind: Kind, context: Context, log: Interactions, items: Catalogue) -> Start:
    """A tokenizer of the items of a log, and HeterRec on its IDs; some items are withheld."""
    items = items.take(items.rows(log.items.ids.to_pylist()))
    split = world(log, log.items.ids, context.seed)
    if kind.behaviour:
        items = with_behaviour(items, split.data.train)
    tokenizer = _tokenizer(setup, kind, context, items)
    data = split.data._replace(ids=ids_of(tokenizer, items))

    def fit() -> HeterRec:
        model = HeterRec(**{**HETERREC[setup], **kind.model}, seed=context.seed)
        model.fit(data)
        return model

    student: Any = Recommender.load(context.kept(_name(setup, kind, context, kind.kept), fit))
    return Start(items, tokenizer, student, data, split._replace(data=data))


def _ranking(kind: Kind, context: Context) -> Start:
    """PPNet on item IDs and IDs of a tokenizer."""
    data = impressions(context.data)
    items = CATALOGUES["ml1m"](context.data)
    items = items.take(items.rows(data.item_ids.to_pylist()))
    if kind.behaviour:
        split = SplitSettings(split="stored", min_interactions=0)
        log = read_interactions(LOGS["ml1m"].path(context.data), LOGS["ml1m"].columns)
        items = with_behaviour(items, RetrievalData.of(log, items.item_ids, split).train)
    tokenizer = _tokenizer("ranking", kind, context, items)

    def fit() -> PPNet:
        model = PPNet(**{**RANKER, **kind.model}, seed=context.seed)
        model.fit(data, ids_of(tokenizer, items))
        return model

    student: Any = Ranker.load(context.kept(_name("ranking", kind, context, kind.kept), fit))
    return Start(items, tokenizer, student, data)


def _tokenizer(setup: str, kind: Kind, context: Context, items: Catalogue) -> Any:
    """The tokenizer, without refinement so that its codes have a gradient."""

    def fit() -> Any:
        name, fixed = TOKENIZERS[kind.name]
        settings = {**settings_found(DATA[setup], kind.name), **fixed, "refinement": 0}
        if name == "mmq":
            settings = {"learning": "gradient", **settings}
            if kind.behaviour:
                settings["specific_experts"] = EXPERTS[setup]
        tokenizer = model_class("tokenizer", name)(**{**settings, "seed": context.seed})
        tokenizer.fit(items)
        return tokenizer

    return NetworkTokenizer.load(context.kept(_name(setup, kind, context, "tokenizer"), fit))


def _name(setup: str, kind: Kind, context: Context, what: str) -> str:
    behaviour = " behaviour" * kind.behaviour
    return f"{setup} {kind.name}{behaviour} {context.seed} {what}"

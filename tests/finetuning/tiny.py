"""Tokenizers, recommenders and data small enough to fine-tune in a second."""

import numpy as np

from mmq import Catalogue
from mmq.data._interactions import Interactions
from mmq.ranking import PPNet, RankingData
from mmq.recommenders import HeterRec, RetrievalData, SplitSettings
from mmq.semantic_ids import SemanticIDs
from mmq.testing import tiny_log
from mmq.tokenizers import MMQTokenizer, RQVAETokenizer

ITEMS = 30
TOKENIZERS = {
    "mmq": lambda: MMQTokenizer(
        learning="gradient", codebook_size=8, latent_dim=8, shared_experts=1, specific_experts=2,
        epochs=8, batch_size=16, device="cpu",
    ),
    "additive": lambda: MMQTokenizer(
        codebook_size=8, shared_experts=1, specific_experts=2, device="cpu"
    ),
    "aligned": lambda: RQVAETokenizer(
        codebook_size=8, hidden_sizes=(12,), latent_dim=6, length=3, epochs=8, batch_size=16,
        device="cpu",
    ),
    "separated": lambda: RQVAETokenizer(
        codebook_size=8, hidden_sizes=(12,), latent_dim=6, length=3, epochs=8, batch_size=16,
        fusion="separated", device="cpu",
    ),
}  # fmt: skip
SMALL = {
    "hidden_dim": 8, "heads": 2, "item_layers": 1, "history": 5, "batch_size": 16,
    "item_token": False, "schedule": "constant", "learning_rate": 1e-3, "warmup": 0.02,
}  # fmt: skip
PPNET = {"hidden": [8], "embedding_dim": 4, "gate_dim": 4, "history": 6, "batch_size": 64}


def catalogue(missing=True):
    """Embeddings of the items of the tiny log; some lack one."""
    rng = np.random.default_rng(3)
    embeddings = {"text": rng.normal(size=(ITEMS, 10)), "image": rng.normal(size=(ITEMS, 7))}
    if missing:
        embeddings["image"][[4, 9]] = np.nan
        embeddings["text"][13] = np.nan
    return Catalogue.build([f"item-{row}" for row in range(ITEMS)], embeddings)


def tokenizer(kind="mmq"):
    made = TOKENIZERS[kind]()
    made.fit(catalogue())
    return made


def table(made):
    return SemanticIDs.build(catalogue().item_ids, made.encode(catalogue()), made.codebook_sizes)


def retrieval(made, **changes):
    """A recommender of the tokenizer's IDs, and what it was fitted to."""
    data = RetrievalData.of(tiny_log(), table(made), SplitSettings(min_interactions=0))
    student = HeterRec(**{**SMALL, "epochs": 3, **changes}, device="cpu")
    student.fit(data)
    return student, data


def impressions(rows=600):
    """Users like items of their own half more often."""
    rng = np.random.default_rng(5)
    user, item = rng.integers(0, 20, rows), rng.integers(0, ITEMS - 2, rows)
    positive = rng.random(rows) < np.where((user + item) % 2, 0.8, 0.3)
    return Interactions.build(
        {
            "user_id": user,
            "item_id": [f"item-{row}" for row in item],
            "timestamp": np.arange(rows),
            "label": positive.astype(int),
        }
    )


def ranking(made, **changes):
    data = RankingData.of(impressions())
    student = PPNet(**{**PPNET, "epochs": 3, **changes}, device="cpu")
    student.fit(data, table(made))
    return student, data


STUDENTS = {"retrieval": retrieval, "ranking": ranking}

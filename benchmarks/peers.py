"""Quantisers of other libraries beside ours, all with their defaults: same items, same folds.

    pip install -e '.[dev]'
    python -m experiments run peers_ml1m --data DATA

Folds, inputs and figures are those of experiments/quantisers.py: seed s is fitted on all items but
the s-th tenth and measured on that tenth; IDs have 6 positions of 100 codes (faiss's
ResidualQuantizer takes powers of two: 128). Every quantiser reads the unit-normed embeddings, those
of an item side by side (aligned) or one quantiser a modality (separated, 3 + 3). Where an embedding
is missing a peer reads the mean of the fitted ones, and the part counts for no error. What had to
be adapted is the note of each row. Nothing is tuned; what is trained by gradients has 150 epochs
unless the note says otherwise.

"fit seconds" is wall time; "CPU seconds" is the process's time for fitting and measuring, which
other processes on the machine do not lengthen.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

import faiss
import nanopq
import numpy as np
import semantic_id
import torch
from torch import Tensor
from vector_quantize_pytorch import ResidualVQ

from experiments.cells import Made
from experiments.data import films
from experiments.experiment import Context, Experiment
from experiments.quantisers import Folds, fit_and_measure
from mmq import Catalogue
from mmq.model import model_class
from mmq.nn.losses import squared_error
from mmq.tokenizers._evaluation import evaluate
from mmq.tokenizers._fitting import KMeansSettings, fit_quantisers
from mmq.tokenizers._fused import FusedNetwork, Quantiser
from mmq.tokenizers._inputs import Inputs, unit_inputs
from mmq.tokenizers._rqvae.network import RQVAE
from mmq.tokenizers._rqvae.settings import RQVAESettings

LENGTH, SIZE, EPOCHS, BATCH = 6, 100, 150, 256
TIGER: dict[str, Any] = {"hidden_sizes": (512, 256, 128), "latent_dim": 64}
LIBRARIES = ("faiss-cpu", "nanopq", "vector-quantize-pytorch", "semantic-id", "scikit-learn")


class Peer(Quantiser, ABC):
    """A library's quantiser, with what :class:`FusedNetwork` needs of one."""

    def __init__(self, width: int, levels: int, size: int = SIZE) -> None:
        super().__init__()
        self.width, self.levels = width, levels
        self.codebook_sizes = (size,) * levels

    steps = 1

    def fit(self, x: Tensor, generator: np.random.Generator, advance: Any) -> list[Any]:
        """As :meth:`mmq.tokenizers._fitting.KMeansQuantiser.fit`."""
        self.learn(x, int(generator.integers(2**30)))
        return []

    @abstractmethod
    def learn(self, x: Tensor, seed: int) -> None:
        """Learn from vectors ``(n, d)``."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Codes ``(b, l)`` int64 of vectors ``(b, d)``."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Vectors ``(b, d)`` of int64 codes ``(b, l)``."""


def array(x: Tensor) -> np.ndarray:
    """Rows one after another in memory, as the libraries want them."""
    return np.ascontiguousarray(x.numpy())


class FaissKMeans(Peer):
    """faiss.Kmeans level upon level."""

    def learn(self, x: Tensor, seed: int) -> None:
        left = array(x)
        self.found = []
        for level in range(self.levels):
            # 1: the bound decides nothing but whether faiss warns that items are few
            means = faiss.Kmeans(self.width, SIZE, seed=seed + level, min_points_per_centroid=1)
            means.train(left)
            self.found.append(means)
            left = left - means.centroids[means.index.search(left, 1)[1][:, 0]]

    def encode(self, x: Tensor) -> Tensor:
        left, codes = array(x), []
        for means in self.found:
            codes.append(means.index.search(left, 1)[1][:, 0])
            left = left - means.centroids[codes[-1]]
        return torch.from_numpy(np.stack(codes, axis=1))

    def decode(self, codes: Tensor) -> Tensor:
        pairs = zip(self.found, codes.numpy().T, strict=True)
        return torch.from_numpy(sum(means.centroids[own] for means, own in pairs))


class FaissResidual(Peer):
    """faiss.ResidualQuantizer, beam search and all."""

    bits = 7

    def __init__(self, width: int, levels: int) -> None:
        super().__init__(width, levels, size=2**self.bits)
        self.quantiser = faiss.ResidualQuantizer(width, levels, self.bits)

    def learn(self, x: Tensor, seed: int) -> None:
        self.quantiser.cp.seed = seed
        self.quantiser.cp.min_points_per_centroid = 1  # as above
        self.quantiser.train(array(x))

    def encode(self, x: Tensor) -> Tensor:
        packed = self.quantiser.compute_codes(array(x))
        codes = faiss.unpack_bitstrings(packed, self.levels, self.bits)
        return torch.from_numpy(codes.astype(np.int64))

    def decode(self, codes: Tensor) -> Tensor:
        packed = faiss.pack_bitstrings(array(codes).astype(np.int32), self.bits)
        return torch.from_numpy(self.quantiser.decode(packed))


class NanoOPQ(Peer):
    """nanopq.OPQ of vectors filled up with zeros to a multiple of the parts."""

    def learn(self, x: Tensor, seed: int) -> None:
        self.model = nanopq.OPQ(M=self.levels, Ks=SIZE, verbose=False)
        self.model.fit(self._padded(x), seed=seed)

    def encode(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.model.encode(self._padded(x)).astype(np.int64))

    def decode(self, codes: Tensor) -> Tensor:
        padded = self.model.decode(codes.numpy().astype(self.model.code_dtype))
        return torch.from_numpy(padded[:, : self.width])

    def _padded(self, x: Tensor) -> np.ndarray:
        return np.pad(array(x), ((0, 0), (0, -self.width % self.levels)))


class VQAutoencoder(Peer):
    """ResidualVQ in the middle of TIGER's autoencoder."""

    def __init__(self, width: int, levels: int, **options: Any) -> None:
        super().__init__(width, levels)
        shape = RQVAE(width, levels, RQVAESettings(**TIGER, codebook_size=SIZE))
        self.encoder, self.decoder = shape.encoder, shape.decoder
        self.dim = TIGER["latent_dim"]
        sizes = {"dim": self.dim, "num_quantizers": levels, "codebook_size": SIZE}
        self.quantiser = ResidualVQ(**sizes, kmeans_init=True, **options)

    def learn(self, x: Tensor, seed: int) -> None:
        torch.manual_seed(seed)
        with torch.no_grad():  # latents as long as the vectors, so that all losses have one scale
            self.encoder[-1].weight.mul_(x.norm() / self.encoder(x).norm())
        adam = torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
        self.train()
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).tensor_split(math.ceil(len(x) / BATCH)):
                quantised, _, losses = self.quantiser(self.encoder(x[rows]).unsqueeze(0))
                # its losses are means over dimensions, ours are sums
                loss = squared_error(self.decoder(quantised.squeeze(0)), x[rows])
                adam.zero_grad()
                (loss + losses.sum() * self.dim).backward()
                adam.step()
        self.eval()

    def encode(self, x: Tensor) -> Tensor:
        return self.quantiser(self.encoder(x).unsqueeze(0))[1].squeeze(0)

    def decode(self, codes: Tensor) -> Tensor:
        latents = self.quantiser.get_output_from_indices(codes.unsqueeze(0))
        return self.decoder(latents.squeeze(0))


class SemanticID(Peer):
    """An encoder of semantic-id."""

    def encode(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.model.encode(array(x)).astype(np.int64))

    def decode(self, codes: Tensor) -> Tensor:
        return torch.from_numpy(self.model.decode(array(codes)))


class SemanticIDKMeans(SemanticID):
    """semantic_id.RQKMeans."""

    def learn(self, x: Tensor, seed: int) -> None:
        sizes = {"n_levels": self.levels, "n_clusters": SIZE}
        self.model = semantic_id.RQKMeans(**sizes, random_state=seed)
        self.model.fit(array(x))


class SemanticIDVAE(SemanticID):
    """semantic_id.RQVAE.

    Without ``verbose`` it gives back the weights of the first epoch, for it then takes the rate of
    collisions, which it keeps the best of, for zero after every epoch.
    """

    def __init__(self, width: int, levels: int, last: bool = False, **options: Any) -> None:
        super().__init__(width, levels)
        self.last, self.options = last, options

    def learn(self, x: Tensor, seed: int) -> None:
        torch.manual_seed(seed)
        sizes = {"in_dim": self.width, "num_emb_list": [SIZE] * self.levels}
        self.model = semantic_id.RQVAE(**sizes, verbose=10**6, **self.options)
        if self.last:  # every epoch counts as better than the one before
            rates = itertools.count(0, -1)
            self.model._compute_collision_rate = lambda codes: next(rates)
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            self.model.fit(array(x))
        self.model.verbose = False


class Row(NamedTuple):
    """A row of the table: a peer, or with a kind a tokenizer of ours."""

    fusion: str
    note: str
    make: Callable[[int, int], Peer] | None = None
    kind: str = ""
    settings: dict[str, Any] | None = None


TRAINED = {"lr": 1e-3, "batch_size": BATCH, "epochs": EPOCHS, "kmeans_init": True}
NOTES = {
    "faiss": "faiss.Kmeans (25 iterations, random start) on the residuals of the level before",
    "beam": "K = 128, for it takes powers of two: 2.1 bits an ID more than the others have; its "
    "codes come from a beam search of 5",
    "nanopq": "vectors filled up with zeros to a multiple of the parts",
    "vq": "a quantiser alone: put into TIGER's autoencoder (512, 256, 128, latent 64), latents "
    "scaled to the inputs' length, AdamW 1e-3, batches of 256, 150 epochs, kmeans_init; its losses "
    "times 64, so that all are sums over dimensions; otherwise its defaults (moving averages of "
    "decay 0.8, rotation trick, no revival)",
    "sid": "none: k-means of scikit-learn, the best of 10 starts a level",
    "sid vae": "its defaults (100 epochs, batches of 2,048, rate 1e-4, no kmeans_init) with "
    "verbose on: off, it gives back the weights of the first epoch",
    "sid trained": "kmeans_init, AdamW 1e-3, batches of 256, 150 epochs as the others; the last "
    "weights, not those of the fewest collisions",
    "ours": "defaults",
    "alike": "K = 128, otherwise defaults",
    "alike refined": "K = 128, refinement = 3 (the peer has a beam search), otherwise defaults",
    "ours trained": "defaults, 150 epochs",
}


def rows() -> dict[str, Row]:
    """The table; what is quick comes first."""
    found: dict[str, Row] = {}
    for fusion in ("aligned", "separated"):
        ours = {"fusion": fusion}
        found[f"RQ-KMeans, {fusion}"] = Row(fusion, NOTES["ours"], kind="rqkmeans", settings=ours)
        found[f"faiss RQ-KMeans, {fusion}"] = Row(fusion, NOTES["faiss"], FaissKMeans)
        name = f"faiss ResidualQuantizer, K = 128, {fusion}"
        found[name] = Row(fusion, NOTES["beam"], FaissResidual)
        alike = {**ours, "codebook_size": 2**FaissResidual.bits}
        for refined, more in (("", {}), (" refined", {"refinement": 3})):
            name = f"RQ-KMeans{refined}, K = 128, {fusion}"
            note = NOTES["alike" + refined]
            found[name] = Row(fusion, note, kind="rqkmeans", settings={**alike, **more})
        found[f"OPQ, {fusion}"] = Row(fusion, NOTES["ours"], kind="opq", settings=ours)
        found[f"nanopq OPQ, {fusion}"] = Row(fusion, NOTES["nanopq"], NanoOPQ)
    trained = partial(Row, note=NOTES["ours trained"])
    found["MMQ"] = trained("", kind="mmq", settings={"learning": "gradient", "epochs": EPOCHS})
    for fusion in ("aligned", "separated"):
        ours = {"fusion": fusion, "epochs": EPOCHS}
        found[f"RQ-VAE, {fusion}"] = trained(fusion, kind="rqvae", settings=ours)
        found[f"vector-quantize-pytorch, {fusion}"] = Row(fusion, NOTES["vq"], VQAutoencoder)
    found["semantic-id RQKMeans, aligned"] = Row("aligned", NOTES["sid"], SemanticIDKMeans)
    name = "semantic-id RQVAE, trained as the others, aligned"
    found[name] = Row("aligned", NOTES["sid trained"], partial(SemanticIDVAE, last=True, **TRAINED))
    found["semantic-id RQVAE, aligned"] = Row("aligned", NOTES["sid vae"], SemanticIDVAE)
    return found


def run_ours(items: Catalogue, row: Row, seed: int, test: np.ndarray) -> dict[str, float]:
    """One fit of a tokenizer of ours: figures."""
    tokenizer = model_class("tokenizer", row.kind)(**(row.settings or {}), seed=seed)
    began = time.process_time()
    figures = fit_and_measure(tokenizer, items, test)
    return {**figures, "CPU seconds": time.process_time() - began}


def run_peer(items: Catalogue, row: Row, seed: int, test: np.ndarray) -> dict[str, float]:
    """One fit of a peer: the same figures."""
    x, present = unit_inputs(items, items.dimensions)
    fitted = torch.from_numpy(np.setdiff1d(np.arange(len(items)), test))
    chosen = {"fusion": row.fusion, "length": LENGTH, "codebook_size": SIZE, "seed": seed}
    settings = KMeansSettings(**chosen)  # type: ignore[arg-type]

    torch.manual_seed(seed)
    network = FusedNetwork(items.dimensions, settings, row.make)
    began = time.process_time()
    trained = fit_quantisers(network, x[fitted], present[fitted], settings)
    inputs = Inputs(x, present, torch.zeros_like(present), torch.ones(present.shape[1]))
    parts = {"fit": fitted, "held_out": torch.from_numpy(test)}
    found = evaluate(network, inputs, parts)
    spent = time.process_time() - began
    pairs = itertools.product(("l_recon", "fvu"), parts)
    figures = {f"{name} {part}": found[f"{name}_codes"][part] for name, part in pairs}
    figures |= {name: found[name] for name in ("entropy", "utilisation", "distinct_share")}
    return figures | {"fit seconds": trained.seconds, "CPU seconds": spent}


def measured(row: Row, context: Context) -> Made:
    """A cell: the figures of a tokenizer of ours, or of a peer, on the tested tenth of its seed."""
    items = films(context.data)
    test = Folds.of(len(items)).tested[context.seed]
    figures = (run_peer if row.make else run_ours)(items, row, context.seed, test)
    versions = {name: version(name) for name in LIBRARIES}
    return Made(dict(row.settings or {}), {**figures, "note": row.note, "libraries": versions})


EXPERIMENT = Experiment("ml1m", rows(), measured)

"""FuxiCTR's PPNet as a peer of ours: the same rows and sizes, trained by FuxiCTR's own machinery.

    pip install -e '.[dev]'
    OMP_NUM_THREADS=1 python -m benchmarks.fuxictr_peer [--rows 5000] [--epochs 8]

The command is a self-check on drawn rows; the comparison calls :func:`train_and_predict`. Rows lie
in NPZ files, the quickest of FuxiCTR's loaders reads them; the model stands on ``BaseModel`` and
``FeatureEmbedding``, so that loss, optimiser, clipping, early stop, checkpoint and the start of the
weights are FuxiCTR's. PPNet is written here after the description in FuxiCTR's model zoo, which the
package does not hold: every layer reads its input times a gate, the first layer too. By our
definition the embeddings have no gate; ``input_gate=False`` leaves it out.

An epoch's time holds loading and stepping, not validation. Loading goes row by row; the rate of the
steps alone is what no other loader could exceed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

PARTS = ("train", "validation", "test")
GATE_FEATURES = ("user", "item")
DATASET = "rows"


class Sizes(NamedTuple):
    """Rows of the tables; item 0 is the padding of histories."""

    users: int
    items: int


class Settings(NamedTuple):
    """What the model zoo's configuration says, but for batch and embedding size."""

    embedding_dim: int = 16
    hidden: tuple[int, ...] = (64, 64, 64)
    gate_hidden: int = 64
    input_gate: bool = True
    batch_size: int = 4096
    learning_rate: float = 1e-3
    decay_on_plateau: bool = True
    """Whether the rate falls to a tenth after an epoch without gain."""
    epochs: int = 10
    patience: int = 2
    seed: int = 0


DEFAULTS = Settings()


class Epoch(NamedTuple):
    """Seconds of an epoch without its validation, and of its steps alone, by wall and own time."""

    seconds: float
    cpu_seconds: float
    step_seconds: float
    step_cpu_seconds: float
    validation_auc: float


class Result(NamedTuple):
    """Probabilities ``(n_test,)`` of the best epoch's weights, and what the median epoch took."""

    test: np.ndarray
    epochs: tuple[Epoch, ...]
    rows_per_second: float
    rows_per_cpu_second: float
    """By the process's own time, which other processes lengthen less."""
    step_rows_per_second: float
    step_rows_per_cpu_second: float
    """Without loading: what no other loader could exceed."""
    loading_share: float
    """Of the epoch's own time."""
    parameters: int


class GatedTower(nn.Module):
    """A gated input, gated hidden layers and one logit; a gate is ``2 sigmoid(W2 relu(W1 x))``."""

    def __init__(self, width: int, gate_width: int, settings: Settings) -> None:
        super().__init__()
        widths = (width, *settings.hidden)

        def gate(out: int) -> nn.Module:
            hidden = settings.gate_hidden
            first, last = nn.Linear(gate_width, hidden), nn.Linear(hidden, out)
            return nn.Sequential(first, nn.ReLU(), last, nn.Sigmoid())

        self.input_gate = gate(width) if settings.input_gate else None
        self.layers = nn.ModuleList(nn.Linear(*each) for each in pairwise(widths))
        self.gates = nn.ModuleList(gate(each) for each in settings.hidden)
        self.last = nn.Linear(widths[-1], 1)

    def forward(self, main: Tensor, prior: Tensor) -> Tensor:
        """Logits ``(b, 1)`` of embeddings; the gates send no gradient into the main ones."""
        gate_input = torch.cat([main.detach(), prior], dim=1)
        hidden = main
        if self.input_gate is not None:
            hidden = hidden * (self.input_gate(gate_input) * 2)
        for layer, gate in zip(self.layers, self.gates, strict=True):
            hidden = layer(hidden).relu() * (gate(gate_input) * 2)
        return self.last(hidden)


def library() -> SimpleNamespace:
    """The parts of FuxiCTR used here; it is slow to import, so only when it is wanted."""
    try:
        from fuxictr.features import FeatureMap
        from fuxictr.pytorch.dataloaders.npz_dataloader import NpzDataLoader
        from fuxictr.pytorch.layers import FeatureEmbedding
        from fuxictr.pytorch.models import BaseModel
    except ModuleNotFoundError as error:
        message = f"FuxiCTR or a part of it is missing ({error.name}): pip install -e '.[dev]'."
        raise SystemExit(message) from error
    return SimpleNamespace(
        BaseModel=BaseModel,
        FeatureEmbedding=FeatureEmbedding,
        FeatureMap=FeatureMap,
        NpzDataLoader=NpzDataLoader,
    )


@cache
def model_class() -> type:
    """PPNet on FuxiCTR's base; beside it only clocks around the base's own methods."""
    fuxi = library()

    class PPNet(fuxi.BaseModel):
        def __init__(self, features: Any, settings: Settings, **options: Any) -> None:
            super().__init__(features, model_id="PPNet", **options)
            self.embeddings = fuxi.FeatureEmbedding(features, settings.embedding_dim)
            self.priors = fuxi.FeatureEmbedding(
                features, settings.embedding_dim, required_feature_columns=list(GATE_FEATURES)
            )
            width = features.sum_emb_out_dim()
            gate_width = width + len(GATE_FEATURES) * settings.embedding_dim
            self.tower = GatedTower(width, gate_width, settings)
            self.compile("adam", "binary_crossentropy", settings.learning_rate)
            self.reset_parameters()
            self.model_to_device()
            self.epochs: list[Epoch] = []

        def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            inputs = self.get_inputs(batch)
            main = self.embeddings(inputs, flatten_emb=True)
            logits = self.tower(main, self.priors(inputs, flatten_emb=True))
            return {"y_pred": self.output_activation(logits)}

        def train_step(self, batch: dict[str, Tensor]) -> Tensor:
            began = clocks()
            loss = super().train_step(batch)
            self.stepped += clocks() - began
            return loss

        def train_epoch(self, loader: Iterable[dict[str, Tensor]]) -> None:
            self.stepped, self.validated = np.zeros(2), np.zeros(2)
            began = clocks()
            super().train_epoch(loader)
            spent = clocks() - began - self.validated
            self.epochs.append(Epoch(*spent.tolist(), *self.stepped.tolist(), self.auc))

        def eval_step(self) -> None:
            began = clocks()
            super().eval_step()
            self.validated += clocks() - began

        def checkpoint_and_earlystop(self, logs: dict[str, float], *options: Any) -> None:
            self.auc = logs["AUC"]
            super().checkpoint_and_earlystop(logs, *options)

    return PPNet


def clocks() -> np.ndarray:
    """Wall time and the process's own."""
    return np.array([time.perf_counter(), time.process_time()])


def feature_map(folder: Path, sizes: Sizes, history: int, embedding_dim: int) -> Any:
    """FuxiCTR's description of the columns: histories share the items' table, pooled to a mean."""
    one = {"source": "", "type": "categorical"}
    items = {"vocab_size": sizes.items, "padding_idx": 0}
    shared = {"share_embedding": "item", "feature_encoder": "layers.MaskedAveragePooling()"}
    features = {
        "user": {**one, "vocab_size": sizes.users},
        "item": {**one, **items},
        "history": {**one, **items, **shared, "type": "sequence", "max_len": history},
    }
    columns = [{name: spec} for name, spec in features.items()]
    path = folder / "feature_map.json"
    path.write_text(json.dumps({"dataset_id": DATASET, "labels": ["label"], "features": columns}))
    found = library().FeatureMap(DATASET, str(folder))
    found.load(str(path), {"embedding_dim": embedding_dim})
    return found


def data_loaders(
    folder: Path, rows: Mapping[str, Mapping[str, np.ndarray]], features: Any, batch_size: int
) -> list[Any]:
    """FuxiCTR's loaders of the three parts, that of training shuffled."""
    found = []
    for part in PARTS:
        whole = {name: each.astype(np.int64) for name, each in rows[part].items()}
        np.savez(folder / part, **whole)
        # no worker: loading and stepping share the one core that the comparison is about
        options = {"batch_size": batch_size, "shuffle": part == "train", "num_workers": 0}
        found.append(library().NpzDataLoader(features, str(folder / part), **options))
    return found


def train_and_predict(
    rows: Mapping[str, Mapping[str, np.ndarray]], sizes: Sizes, settings: Settings = DEFAULTS
) -> Result:
    """Probabilities of the test rows by the weights that were best in validation, and the times.

    ``rows`` holds ``train``, ``validation`` and ``test``, each with ``user`` ``(n,)`` in
    ``[0, users)``, ``item`` ``(n,)`` in ``[1, items)``, ``history`` ``(n, h)`` of items, padded
    with 0, and ``label`` ``(n,)`` of 0 and 1. Seeds torch's global generator, which FuxiCTR draws
    from.
    """
    torch.manual_seed(settings.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        history = rows["train"]["history"].shape[1]
        features = feature_map(folder, sizes, history, settings.embedding_dim)
        train, validation, test = data_loaders(folder, rows, features, settings.batch_size)
        (folder / DATASET).mkdir()  # of the checkpoint
        model = model_class()(
            features,
            settings,
            model_root=name,
            metrics=["AUC"],
            verbose=0,
            early_stop_patience=settings.patience,
            reduce_lr_on_plateau=settings.decay_on_plateau,
        )
        model.fit(train, epochs=settings.epochs, validation_data=validation)
        found = model.predict(test)
    parameters = sum(each.numel() for each in model.parameters())
    return Result(found, tuple(model.epochs), *rates(model.epochs, len(train.dataset)), parameters)


def rates(epochs: list[Epoch], rows: int) -> tuple[float, ...]:
    """Rows a second of the median epoch by each clock, and the share of loading in its own time."""
    times = np.median([each[:4] for each in epochs], axis=0)
    return *(rows / times).tolist(), 1 - float(times[3] / times[1])


def draw_rows(count: int, sizes: Sizes, history: int, seed: int) -> dict[str, np.ndarray]:
    """Rows whose labels depend on user and item, so that there is something to learn."""
    random = np.random.default_rng(seed)
    user, item = random.integers(sizes.users, size=count), random.integers(1, sizes.items, count)
    seen = random.integers(1, sizes.items, (count, history))
    seen[np.arange(history) >= random.integers(history + 1, size=count)[:, None]] = 0
    logits = 2 * np.sin(user) + 2 * np.cos(item)
    label = random.random(count) < 1 / (1 + np.exp(-logits))
    return {"user": user, "item": item, "history": seen, "label": label}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    sizes = Sizes(arguments.users, arguments.items)
    counts = (arguments.rows, arguments.rows // 5, arguments.rows // 5)
    rows = {
        part: draw_rows(count, sizes, history=20, seed=seed)
        for seed, (part, count) in enumerate(zip(PARTS, counts, strict=True))
    }
    settings = Settings(epochs=arguments.epochs, batch_size=arguments.batch)
    found = train_and_predict(rows, sizes, settings)
    print("FuxiCTR", version("fuxictr"), "threads", torch.get_num_threads())
    for epoch in found.epochs:
        print({name: round(value, 4) for name, value in epoch._asdict().items()})
    print({name: round(value, 3) for name, value in list(found._asdict().items())[2:]})
    print("test AUC", round(roc_auc_score(rows["test"]["label"], found.test), 4))


if __name__ == "__main__":
    main()

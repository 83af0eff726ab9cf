"""One training of RecBole's SASRec; recbole_peer.py runs it under the Python that has RecBole.

    PYTHON benchmarks/recbole_cell.py FOLDER SEED MINUTES

It reads FOLDER/rows/rows.inter (every user's rows together, in the order of time) and writes
FOLDER/SEED.json, with figures of the best epoch on RecBole's own test and validation parts. Before
a case is measured its target and history are compared with the rows. Data, loss, optimiser, early
stop and checkpoint are RecBole's; a killed training goes on from the best epoch so far, and with 0
minutes that epoch is measured.
"""

from __future__ import annotations

import contextlib
import json
import math
import platform
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_logger, init_seed
from torch import Tensor

SETTINGS = {
    "loss_type": "CE",
    "hidden_size": 64,
    "n_layers": 2,
    "n_heads": 2,
    "inner_size": 256,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "MAX_ITEM_LIST_LENGTH": 50,
    "train_batch_size": 2048,
    "learning_rate": 1e-3,
    "epochs": 300,
    "stopping_step": 10,
    "valid_metric": "NDCG@10",
}
FIXED = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
    "train_neg_sample_args": None,
    "repeatable": True,
    "metrics": ["Recall", "NDCG"],
    "topk": [5, 10],
    "metric_decimal_place": 8,
    "use_gpu": False,
    "show_progress": False,
}
CUTOFFS = (5, 10)
GROUPS = 16
STATUS = Path("/proc/self/status")
torch.autograd.set_detect_anomaly(False)
"""One of RecBole's models switches it on for all when it is imported: a third of the time."""


class ByLength(SASRec):
    """RecBole's SASRec without most of the padding: a batch passes in groups of like length.

    Entries that come after a history's last one change nothing of what is read there, so the
    output is the same.
    """

    def forward(self, item_seq: Tensor, item_seq_len: Tensor) -> Tensor:
        """``(b, hidden)`` of the histories."""
        order = item_seq_len.argsort()
        found = []
        for rows in order.chunk(GROUPS):
            lengths = item_seq_len[rows]
            found.append(super().forward(item_seq[rows, : int(lengths.max())], lengths))
        return torch.cat(found)[order.argsort()]


class TimeUpError(Exception):
    """The training had the minutes that it was given."""


class Diary:
    """Keeps what every epoch gave, in a file."""

    def __init__(self, file: Path, trainer: Trainer, minutes: float) -> None:
        self.file, self.trainer, self.minutes = file, trainer, minutes
        self.started = self.last = time.monotonic()

    def __call__(self, epoch: int, score: float) -> None:
        """Called by RecBole when an epoch was validated."""
        now = time.monotonic()
        line = {
            "epoch": epoch + 1,
            "loss": self.trainer.train_loss_dict[epoch] / len(self.trainer.batches),
            "validation ndcg@10": score,
            "seconds": now - self.last,
        }
        with self.file.open("a") as out:
            out.write(json.dumps(line) + "\n")
        self.last = now
        if now - self.started > 60 * self.minutes:
            raise TimeUpError

    def lines(self) -> list[dict[str, Any]]:
        """All epochs, those of killed trainings too."""
        return [json.loads(line) for line in self.file.read_text().splitlines()]


def sequences_of(dataset: Any, file: Path) -> dict[int, list[int]]:
    """RecBole's number of a user -> its numbers of that user's items, in the order of the file."""
    users, items = (dataset.field2token_id[name] for name in ("user_id", "item_id"))
    found: dict[int, list[int]] = {}
    for line in file.read_text().splitlines()[1:]:
        user, item, _ = line.split("\t")
        found.setdefault(users[user], []).append(items[item])
    return found


@torch.no_grad()
def measured(
    model: SASRec, loader: Any, sequences: dict[int, list[int]], held: int
) -> dict[str, dict[str, float]]:
    """Figures under both protocols; ``held`` rows at a user's end are its target and what follows.

    Raises:
        SystemExit: a target or a history is not that of the rows.
    """
    model.eval()
    ranks: list[Tensor] = []
    best: list[set[int]] = [set(), set()]
    for batch, _, _, targets in loader:
        scores = model.full_sort_predict(batch)
        scores[:, 0] = -torch.inf
        wanted = scores.gather(1, targets[:, None])
        histories = [checked(case, sequences, held) for case in cases_of(batch)]
        competing = (scores > wanted).sum(1)
        best[0].update(scores.topk(CUTOFFS[-1]).indices.flatten().tolist())
        for row, history in enumerate(histories):
            scores[row, history] = -torch.inf
        scores.scatter_(1, targets[:, None], wanted)
        best[1].update(scores.topk(CUTOFFS[-1]).indices.flatten().tolist())
        ranks.append(torch.stack([competing, (scores > wanted).sum(1)]))
    return {
        name: {**figures(each), "coverage": len(ten) / (model.n_items - 1)}
        for name, each, ten in zip(
            ("history_competes", "history_left_out"), torch.cat(ranks, dim=1), best, strict=True
        )
    }


def cases_of(batch: Any) -> list[tuple[int, int, list[int]]]:
    """User, target and history of each case."""
    histories = [
        row[:length].tolist()
        for row, length in zip(batch["item_id_list"], batch["item_length"], strict=True)
    ]
    users, targets = batch["user_id"].tolist(), batch["item_id"].tolist()
    return list(zip(users, targets, histories, strict=True))


def checked(
    case: tuple[int, int, list[int]], sequences: dict[int, list[int]], held: int
) -> list[int]:
    """All that the user met before the target, once RecBole's case is found to be the same."""
    user, target, history = case
    before = sequences[user][:-held]
    if target != sequences[user][-held] or history != before[-len(history) :]:
        raise SystemExit(f"RecBole's case of user {user} is not that of the rows")
    if len(history) != min(len(before), int(SETTINGS["MAX_ITEM_LIST_LENGTH"])):
        raise SystemExit(f"RecBole cuts the history of user {user} to {len(history)} entries")
    return before


def figures(ranks: Tensor) -> dict[str, float]:
    """Recall and NDCG of one target a user, from the number of items before it."""
    gains = 1 / torch.log2(ranks + 2.0).double()
    found = {}
    for cutoff in CUTOFFS:
        hit = (ranks < cutoff).double()
        found[f"recall@{cutoff}"] = hit.mean().item()
        found[f"ndcg@{cutoff}"] = (hit * gains).mean().item()
    return found


@torch.no_grad()
def same_loss(config: Any, grouped: ByLength, train: Any) -> dict[str, float]:
    """The loss of a batch by RecBole's SASRec and by :class:`ByLength`, of the same weights.

    Raises:
        SystemExit: they differ.
    """
    whole = SASRec(config, train.dataset)
    whole.load_state_dict(grouped.state_dict())
    batch = next(iter(train))
    padded, by_length = (each.eval().calculate_loss(batch).item() for each in (whole, grouped))
    if not math.isclose(padded, by_length, rel_tol=1e-5):
        raise SystemExit(f"the loss changes from {padded} to {by_length} without padding")
    return {"padded": padded, "by length": by_length}


def trained(trainer: Trainer, parts: tuple[Any, ...], diary: Diary, checkpoint: Path) -> dict:
    """Fit, with what it cost where no earlier training had begun, and why it ended."""
    fresh, why = not checkpoint.exists(), "time"
    if not fresh:
        trainer.resume_checkpoint(checkpoint)
    work = time.process_time()
    with contextlib.suppress(TimeUpError):
        if fresh or diary.minutes:
            trainer.fit(*parts, callback_fn=diary)
            why = "early stopping"
    cost = {
        "seconds": time.monotonic() - diary.started,
        "processor_seconds": time.process_time() - work,
        "peak_mb": int(re.search(r"VmHWM:\s*(\d+)", STATUS.read_text())[1]) // 1024,
    }
    return {**(cost if fresh else {}), "ended_by": why}


def main() -> None:
    folder, seed, minutes = Path(sys.argv[1]).resolve(), int(sys.argv[2]), float(sys.argv[3])
    where = {"data_path": str(folder), "checkpoint_dir": str(folder), "seed": seed}
    config = Config(model="SASRec", dataset="rows", config_dict={**SETTINGS, **FIXED, **where})
    init_seed(seed, reproducibility=True)
    init_logger(config)
    dataset = create_dataset(config)
    train, validation, test = data_preparation(config, dataset)
    sequences = sequences_of(dataset, folder / "rows" / "rows.inter")
    model, checkpoint = ByLength(config, train.dataset), folder / f"{seed}.pth"
    trainer = Trainer(config, model)
    trainer.saved_model_file, trainer.batches = str(checkpoint), train
    diary = Diary(folder / f"{seed}.jsonl", trainer, minutes)
    ended = trained(trainer, (train, validation), diary, checkpoint)
    best = torch.load(checkpoint, weights_only=False)
    model.load_state_dict(best["state_dict"])
    cell = {
        **ended,
        "settings": SETTINGS,
        "targets": len(train.dataset),
        "parameters": sum(each.numel() for each in model.parameters()),
        "best_epoch": best["epoch"] + 1,
        "validation": measured(model, validation, sequences, 2)["history_competes"],
        "test": measured(model, test, sequences, 1),
        "test by RecBole": trainer.evaluate(test, load_best_model=False),
        "loss of a batch": same_loss(config, model, train),
        "training": diary.lines(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("recbole", "torch", "numpy", "pandas")},
    }
    (folder / f"{seed}.json").write_text(json.dumps(cell, indent=1) + "\n")


if __name__ == "__main__":
    main()

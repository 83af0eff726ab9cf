"""Stage 2 from start to end: check, learn together, learn on the final IDs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from mmq.data import Catalogue
from mmq.errors import DataError, SettingsError
from mmq.finetuning._alternating import AlternatingTask
from mmq.finetuning._joint import JointTask
from mmq.finetuning._moving import Data, MovingTask, Student
from mmq.finetuning._settings import FinetuneSettings
from mmq.made_from import Checkpoint
from mmq.semantic_ids._manifest import imported_from, is_imported
from mmq.tokenizers._evaluation import evaluate
from mmq.tokenizers._inputs import Inputs
from mmq.tokenizers._soft import SoftTokenizer
from mmq.training._distributed import is_first
from mmq.training._early_stopping import EarlyStoppedTraining
from mmq.training._loop import Log, Trained, train

TASKS: dict[str, type[MovingTask]] = {"alternating": AlternatingTask, "joint": JointTask}


class FinetuneFit(NamedTuple):
    """What came out of a fine-tuning.

    Attributes:
        before: figures of the start on the validation part, and of its IDs.
        after: the same of what was kept.
        best_epoch: the epoch that was kept, from 1; 0 if none was better than the start.
        log: figures of every epoch.
        codes_before: ``(items, length)`` in the order of the recommender's table.
        codes_after: the same of what was kept.
        seconds: time that it took; of a fine-tuning that was resumed, the part since then.
    """

    before: dict[str, float]
    after: dict[str, float]
    best_epoch: int
    log: Log
    codes_before: np.ndarray
    codes_after: np.ndarray
    seconds: float


def finetune(
    tokenizer: SoftTokenizer[Any, Any],
    student: Student,
    data: Data,
    catalogue: Catalogue,
    settings: FinetuneSettings | None = None,
    checkpoint: Checkpoint | None = None,
) -> FinetuneFit:
    """Let a tokenizer and a recommender of its IDs learn together; both change in place.

    What is best on the validation part is kept, the start included. Where it is broken off, by an
    error or by the user, both are as they were.

    Args:
        tokenizer: a fitted one.
        student: a recommender that was fitted to the IDs that it gives.
        data: what the recommender was fitted to.
        catalogue: embeddings of all items of the recommender.
        settings: how; the defaults if not given.
        checkpoint: what a killed fine-tuning can go on from, to a result that is the same to the
            bit; a second file lies beside it while the recommender learns on the final IDs. Data,
            IDs and settings are added to what it is made from.

    Raises:
        SettingsError: one of both cannot take part, or refined codes.
        DataError: an item without embedding, IDs of another tokenizer, data that the recommender
            was not fitted to, or a training that diverged.
        FormatError: the checkpoint is damaged or of other data or settings.
    """
    settings = settings or FinetuneSettings()
    inputs = _checked(tokenizer, student, data, catalogue, settings.mode == "alternating")
    ids = student.semantic_ids
    again = None
    if checkpoint is not None:
        checkpoint = checkpoint.of(
            data=data.fingerprint(),
            ids=ids.fingerprint(),
            settings=settings.to_dict(),
            tokenizer=tokenizer.settings.to_dict(),
            model=student.settings.to_dict(),
        )
        again = checkpoint.beside("refit")
        if not checkpoint.resume and is_first():
            again.path.unlink(missing_ok=True)  # of another run: this one's is made much later
    task = TASKS[settings.mode](student, tokenizer, data, inputs, settings)
    start = {name: value.clone() for name, value in task.network.state_dict().items()}
    try:
        before = task.figures()
        learning = settings.learning(student.settings, settings.epochs)
        training = EarlyStoppedTraining(task, learning, before[task.monitor])
        trained = train(training, checkpoint)
        task.network.load_state_dict(training.best)
        after, seconds, log = task.figures(), trained.seconds, trained.log
        if settings.refit_epochs:
            refitted = _refit(student, data, settings, again, after[task.monitor])
            after, seconds = task.figures(), seconds + refitted.seconds
            log = [*log, *({**each, "refit": 1.0} for each in refitted.log)]
    except BaseException:
        task.network.load_state_dict(start)
        student.rename(ids.codes, ids.manifest)
        raise
    finally:
        task.network.eval().requires_grad_(False)
    codes = student.semantic_ids.codes
    if training.best_epoch and settings.resolved_rate:
        tokenizer.settle(inputs.x, inputs.present)
        parts = {"fit": torch.arange(len(codes))}
        tokenizer.figures |= evaluate(tokenizer.network, inputs, parts)
        made = ids.manifest["tokenizer"]
        if made is not None:
            tokenizer.tuned_from = [*tokenizer.tuned_from, made["fingerprint"]]
    else:  # the same tokenizer still gives the same IDs
        student.rename(codes, ids.manifest)
    return FinetuneFit(before, after, training.best_epoch, log, ids.codes, codes, seconds)


def _refit(
    student: Student,
    data: Data,
    settings: FinetuneSettings,
    checkpoint: Checkpoint | None,
    floor: float,
) -> Trained:
    """Let the recommender learn alone, on the IDs that it has; kept if it is above the floor."""
    learning = settings.learning(student.settings, settings.refit_epochs)
    training = EarlyStoppedTraining(student.task(data), learning, floor)
    found = train(training, checkpoint)
    student.network.load_state_dict(training.best)
    return found


def _checked(
    tokenizer: SoftTokenizer[Any, Any],
    student: Student,
    data: Data,
    catalogue: Catalogue,
    alternating: bool,
) -> Inputs:
    """Inputs of the items of the student's table."""
    if not isinstance(tokenizer, SoftTokenizer):
        raise SettingsError(
            f"{tokenizer.kind} does not learn by gradients, so its IDs cannot be fine-tuned; fit "
            "one of mmq and rqvae"
        )
    tokenizer.require_soft()
    student.require_soft(data)
    if alternating:
        student.require_reassignment_costs()
    ids = student.semantic_ids
    if is_imported(ids.manifest):
        raise DataError(
            f"the model's semantic IDs were imported from {imported_from(ids.manifest)}, and no "
            "tokenizer of mmq made them, so they cannot be fine-tuned; fit a tokenizer, encode the "
            "catalogue and train the model on these IDs"
        )
    items = catalogue.take(catalogue.rows(ids.item_ids.to_pylist()))
    if tokenizer.codebook_sizes != ids.codebook_sizes:
        raise DataError(
            f"the model's IDs have codebooks of {_list(ids.codebook_sizes)} codes, the tokenizer "
            f"has {_list(tokenizer.codebook_sizes)}; give the one that the model's IDs were made of"
        )
    differ = np.flatnonzero((tokenizer.encode(items) != ids.codes).any(1))
    if len(differ):
        moved = ids.manifest["collisions"] == "move"
        remedy = (
            "encode the catalogue with --collisions rank and train the model on these IDs"
            if moved
            else "give the tokenizer and the catalogue that the model's IDs were made of"
        )
        raise DataError(
            f"{len(differ):,} of the {len(ids):,} items have another ID in the model than the "
            f"tokenizer gives them, {ids.item_ids[int(differ[0])].as_py()!r} among them; {remedy}"
        )
    return tokenizer.inputs(items)


def _list(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))

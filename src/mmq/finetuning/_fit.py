"""Stage 2 from start to end: check, learn together, learn on the final IDs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from mmq.data import Catalogue
from mmq.finetuning._alternating import AlternatingTask
from mmq.finetuning._check import checked_inputs
from mmq.finetuning._joint import JointTask
from mmq.finetuning._moving import Data, MovingTask, Student
from mmq.finetuning._settings import FinetuneSettings
from mmq.made_from import Checkpoint
from mmq.semantic_ids import SemanticIDs
from mmq.tokenizers._evaluation import evaluate
from mmq.tokenizers._inputs import Inputs
from mmq.tokenizers._soft import SoftTokenizer
from mmq.training._distributed import is_first
from mmq.training._early_stopping import EarlyStoppedTraining
from mmq.training._loop import Log, train

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
    inputs = checked_inputs(tokenizer, student, data, catalogue, settings)
    ids = student.semantic_ids
    if checkpoint is not None:
        checkpoint = _of_these(checkpoint, tokenizer, student, data, settings)
    task = TASKS[settings.mode](student, tokenizer, data, inputs, settings)
    with _restored_on_error(task, ids):
        fit = _learned(task, checkpoint)
    if fit.best_epoch and settings.resolved_rate:
        _settle(tokenizer, inputs, ids)
    else:  # the same tokenizer still gives the same IDs
        task.adapter.rename(fit.codes_after, ids.manifest)
    return fit


def _of_these(
    checkpoint: Checkpoint,
    tokenizer: SoftTokenizer[Any, Any],
    student: Student,
    data: Data,
    settings: FinetuneSettings,
) -> Checkpoint:
    """The checkpoint, made from these; what another run left of its refit is removed."""
    checkpoint = checkpoint.of(
        data=data.fingerprint(),
        ids=student.semantic_ids.fingerprint(),
        settings=settings.to_dict(),
        tokenizer=tokenizer.settings.to_dict(),
        model=student.settings.to_dict(),
    )
    if not checkpoint.resume and is_first():  # this run's is made much later
        checkpoint.beside("refit").path.unlink(missing_ok=True)
    return checkpoint


@contextmanager
def _restored_on_error(task: MovingTask, ids: SemanticIDs) -> Iterator[None]:
    """Give back weights and IDs as they are now if what is inside is broken off."""
    start = {name: value.clone() for name, value in task.network.state_dict().items()}
    try:
        yield
    except BaseException:
        task.network.load_state_dict(start)
        task.adapter.rename(ids.codes, ids.manifest)
        raise
    finally:
        task.network.eval().requires_grad_(False)


def _learned(task: MovingTask, checkpoint: Checkpoint | None) -> FinetuneFit:
    """What came of learning together, and then alone if asked; the networks have what is best."""
    settings, student = task.settings, task.student
    before = task.figures()
    learning = settings.learning(student.settings, settings.epochs)
    training = EarlyStoppedTraining(task, learning, before[task.monitor])
    trained = train(training, checkpoint)
    task.network.load_state_dict(training.best)
    after = task.figures()
    codes = (task.start, student.semantic_ids.codes)
    fit = FinetuneFit(before, after, training.best_epoch, trained.log, *codes, trained.seconds)
    return _refitted(task, fit, checkpoint) if settings.refit_epochs else fit


def _refitted(task: MovingTask, fit: FinetuneFit, checkpoint: Checkpoint | None) -> FinetuneFit:
    """The same after the recommender learned alone on the IDs that it has, if that is better."""
    settings, student = task.settings, task.student
    learning = settings.learning(student.settings, settings.refit_epochs)
    training = EarlyStoppedTraining(student.task(task.data), learning, fit.after[task.monitor])
    trained = train(training, None if checkpoint is None else checkpoint.beside("refit"))
    student.network.load_state_dict(training.best)
    log = [*fit.log, *({**each, "refit": 1.0} for each in trained.log)]
    return fit._replace(after=task.figures(), log=log, seconds=fit.seconds + trained.seconds)


def _settle(tokenizer: SoftTokenizer[Any, Any], inputs: Inputs, ids: SemanticIDs) -> None:
    """Make the tokenizer what it learned to be, with its figures and what it was tuned from."""
    tokenizer.settle(inputs.x, inputs.present)
    parts = {"fit": torch.arange(len(ids))}
    tokenizer.figures |= evaluate(tokenizer.network, inputs, parts)
    made = ids.manifest["tokenizer"]
    if made is not None:
        tokenizer.tuned_from = [*tokenizer.tuned_from, made["fingerprint"]]

"""Stage 2 from start to end: check, learn together, learn on the final IDs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq.data import Catalogue
from mmq.errors import DataError, SettingsError
from mmq.finetuning.joint import Data, JointTask, Student
from mmq.finetuning.settings import FinetuneSettings
from mmq.nn.loop import Journal, Log, train
from mmq.nn.selected import SelectedTraining
from mmq.tokenizers.inputs import unit_inputs
from mmq.tokenizers.soft import SoftTokenizer


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
    checkpoint: Path | None = None,
    resume: bool = False,
    fingerprint: str = "",
) -> FinetuneFit:
    """Let a tokenizer and a recommender of its IDs learn together; both change in place.

    What is best on the validation part is kept, the start included.

    Args:
        tokenizer: a fitted one.
        student: a recommender that was fitted to the IDs that it gives.
        data: what the recommender was fitted to.
        catalogue: embeddings of all items of the recommender.
        settings: how; the defaults if not given.
        checkpoint: file that a killed fine-tuning can go on from; a second one lies beside it
            while the recommender learns on the final IDs. To be removed by the caller.
        resume: go on from there if it exists. The result is the same to the bit.
        fingerprint: of the inputs, so that a checkpoint of others is refused.

    Raises:
        SettingsError: one of both cannot take part, or refined codes.
        DataError: an item without embedding, IDs of another tokenizer, or a training that
            diverged.
        FormatError: the checkpoint is damaged or of other data or settings.
    """
    settings = settings or FinetuneSettings()
    inputs, codes = _checked(tokenizer, student, catalogue)
    task = JointTask(student, tokenizer, data, inputs, settings)
    mark = f"{fingerprint} {data.fingerprint()} {settings.model_dump_json()}"
    try:
        before = task.validate()
        learning = settings.learning(student.settings, settings.epochs)
        training = SelectedTraining(task, learning, before[task.selected_by])
        trained = train(training, settings.seed, Journal(checkpoint, resume, mark))
        task.network.load_state_dict(training.best)
        after, seconds, log = task.validate(), trained.seconds, trained.log
        if settings.refit_epochs:
            learning = settings.learning(student.settings, settings.refit_epochs)
            own = SelectedTraining(student.task(data), learning, after[task.selected_by])
            again = checkpoint and checkpoint.with_name(f"{checkpoint.name}.refit")
            refitted = train(own, settings.seed, Journal(again, resume, mark))
            student.network.load_state_dict(own.best)
            after, seconds = task.validate(), seconds + refitted.seconds
            log = [*log, *({**each, "refit": 1.0} for each in refitted.log)]
    finally:
        task.network.eval().requires_grad_(False)
    tokenizer.settle(*inputs)
    return FinetuneFit(
        before, after, training.best_epoch, log, codes, student.semantic_ids.codes, seconds
    )


def _checked(
    tokenizer: SoftTokenizer[Any, Any], student: Student, catalogue: Catalogue
) -> tuple[Any, np.ndarray]:
    """Inputs of the items of the student's table, and their codes."""
    if not isinstance(tokenizer, SoftTokenizer):
        raise SettingsError(
            f"{tokenizer.kind} does not learn by gradients, so its IDs cannot be fine-tuned; fit "
            "one of mmq and rqvae"
        )
    tokenizer.require_soft()
    student.require_soft()
    ids = student.semantic_ids
    items = catalogue.take(catalogue.rows(ids.item_ids.to_pylist()))
    differ = np.flatnonzero((tokenizer.encode(items) != ids.codes).any(1))
    if len(differ):
        raise DataError(
            f"{len(differ):,} of the {len(ids):,} items have another ID in the model than the "
            f"tokenizer gives them, {ids.item_ids[int(differ[0])].as_py()!r} among them; give the "
            "tokenizer and the catalogue that the model's IDs were made of"
        )
    x, present = unit_inputs(items, tokenizer.dimensions)
    return (x.to(tokenizer.device), present.to(tokenizer.device)), ids.codes

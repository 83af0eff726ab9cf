"""A log of impressions -> a model that predicts whether an item will be a positive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmq._artifacts import beside
from mmq.made_from import Checkpoint, check_replaced
from mmq.model import Fit
from mmq.ranking import (
    Means,
    Ranker,
    RankingData,
    RankingEvaluation,
    RankingSplit,
    evaluate_ranking,
)
from mmq.ranking._verdict import beside_means, fitted_means
from mmq.semantic_ids import SemanticIDs
from mmq.training._distributed import joined
from mmq.workflows._files import LogFile, training_inputs
from mmq.workflows._log import described_impressions, repeats, rows_on_disk
from mmq.workflows._run import Run, locks_out, refuse
from mmq.workflows._training_page import check_page, write_page_of


@locks_out
def train_ranking(
    log: LogFile | str | Path,
    out: str | Path,
    kind: str = "ppnet",
    *,
    ids: str | Path | None = None,
    split: RankingSplit | None = None,
    settings: Mapping[str, Any] | None = None,
    report: str | Path | None = None,
    run: Run = Run(),
) -> dict[str, Any] | None:
    """Figures of a ranker that was trained on a log of impressions and written to a folder.

    Means are measured on the same rows, and a sentence says whether the model is ahead of them.
    None in processes of ``torchrun`` other than the first.

    Args:
        log: what was shown, and how it went; with further columns, if any.
        out: the folder to write.
        kind: of ranker, one of ``mmq.model.kinds("ranker")``.
        ids: the ID table of the items; without, they are known by their item IDs alone.
        split: which rows are positives, and how they are divided.
        settings: of the kind, by name.
        report: an HTML file to write: curves, figures, means beside them.
        run: seed, device, resume, force, and where to log.

    Raises:
        SettingsError: an unknown kind or setting, or a value out of range.
        DataError: no such log, it cannot be learned from, or ``out`` holds something else.

    Example: ``train_ranking("interactions.parquet", "ranker", ids="ids.parquet")``
    """
    log = LogFile.of(log)
    model: Ranker[Any] = run.make("ranker", kind, settings)
    refuse({"--ids": ids is not None and not model.reads_ids}, f"is not for {kind}; leave it out")
    model.folder_format.check_target(out)
    if report is not None:
        check_page(report)
    table = SemanticIDs.read(ids) if ids else None
    reader, split = log.reader(), split or RankingSplit()
    how = {"further": reader.columns, "numeric": list(log.numeric), **split.to_dict()}
    inputs = training_inputs(model, log, ids, table, **how)
    check_replaced(out, "a model", inputs, run.force)
    checkpoint = Checkpoint(beside(out, "checkpoint.safetensors"), inputs, run.resume)
    with rows_on_disk(out, reader.rows) as spool, run.logged(), joined(model.device) as first:
        data = RankingData.of(reader, split, spool=spool, item_ids=table and table.item_ids)
        data.test.require_both_labels("test")  # rather now than after the training
        fit = model.fit(data, table, checkpoint)
        if not first:
            return None
        model.log_columns = dict(log.columns)
        model.save(out, inputs)
        checkpoint.path.unlink(missing_ok=True)
        about = described_impressions(reader, data)
        figures = {**_learned(model, data), "log": about, **_figures(model, data, fit)}
    result = {**figures, "out": str(out), "warnings": repeats(about)}
    if report is None:
        return result
    write_page_of("ranking", report, model, result)
    return {**result, "report": str(report)}


def _learned(model: Ranker[Any], data: RankingData) -> dict[str, Any]:
    """What the model learned from."""
    return {
        "model": model.kind,
        "users": len(model.vocabulary.users),
        "items": len(model.vocabulary.items),
        "impressions": {"train": len(data.train), "validation": len(data.validation)},
    }


def _figures(model: Ranker[Any], data: RankingData, fit: Fit) -> dict[str, Any]:
    """Where the ranker stands beside means, on both held-out parts, and how it learned."""
    tested, held = evaluate_ranking(model, data), evaluate_ranking(model, data, data.validation)
    means, verdict = None, []
    if model.kind != Means.kind:
        fitted = fitted_means(data)
        beside = beside_means(held, fitted, data, data.validation, "validation")
        means = {"validation": beside.means.figures, "test": evaluate_ranking(fitted, data).figures}
        verdict = [beside.sentence]
    return {
        "validation": fit.validation,
        "test": summary(tested),
        "means": means,
        "verdict": verdict,
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
        "rows_per_second": fit.targets_per_second,
    }


def summary(found: RankingEvaluation) -> dict[str, Any]:
    """What an evaluation says, for JSON."""
    by_user, bins = found.by_user, found.calibration
    return {
        "impressions": found.rows,
        "liked": found.positives,
        "users": by_user.all_users,
        "eligible_users": by_user.eligible_users,
        "eligible_impressions": by_user.eligible_rows,
        **found.figures,
        "strata": {name: each._asdict() for name, each in found.strata.items()},
        "calibration": [
            {"predicted": p, "liked": o, "impressions": n}
            for p, o, n in zip(
                bins.predicted.tolist(), bins.observed.tolist(), bins.rows.tolist(), strict=True
            )
        ],
    }

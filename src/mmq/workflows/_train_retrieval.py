"""An interaction log -> a model that recommends the next item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmq._artifacts import beside
from mmq.data._interactions import Interactions
from mmq.made_from import Checkpoint, check_replaced
from mmq.model import Fit
from mmq.recommenders import (
    Evaluation,
    Recommender,
    RetrievalData,
    SplitSettings,
    evaluate,
)
from mmq.recommenders._evaluation import CUTOFFS
from mmq.recommenders._verdict import baselines, measured, verdict
from mmq.semantic_ids import SemanticIDs
from mmq.training._distributed import joined
from mmq.workflows._files import LogFile, training_inputs
from mmq.workflows._log import concerns, described, liked_by, require_order, rows_on_disk
from mmq.workflows._run import Run, locks_out
from mmq.workflows._training_page import check_page, write_page_of


@locks_out
def train_retrieval(
    log: LogFile | str | Path,
    out: str | Path,
    kind: str = "heterrec",
    *,
    ids: str | Path | None = None,
    split: SplitSettings | None = None,
    settings: Mapping[str, Any] | None = None,
    report: str | Path | None = None,
    run: Run = Run(),
) -> dict[str, Any] | None:
    """Figures of a recommender that was trained on a log and written to a folder.

    Popularity and item-kNN are measured on the same cases, and a sentence says who is ahead. None
    in processes of ``torchrun`` other than the first.

    Args:
        log: the interactions.
        out: the folder to write.
        kind: of recommender, one of ``mmq.model.kinds("recommender")``.
        ids: the ID table of the items to recommend; a kind with ``needs_ids`` needs one.
        split: which interactions count, and how they are divided; without times, give ``ties``.
        settings: of the kind, by name.
        report: an HTML file to write: curves, figures, baselines.
        run: seed, device, resume, force, and where to log.

    Raises:
        SettingsError: an unknown kind or setting, or a value out of range.
        DataError: no such log, it cannot be learned from, or ``out`` holds something else.

    Example: ``train_retrieval("interactions.parquet", "model", ids="ids.parquet")``
    """
    log, split = LogFile.of(log), split or SplitSettings()
    model: Recommender[Any] = run.make("recommender", kind, settings)
    model.folder_format.check_target(out)
    if report is not None:
        check_page(report)
    table = SemanticIDs.read(ids) if ids else None
    inputs = training_inputs(model, log, ids, table, **split.to_dict())
    check_replaced(out, "a model", inputs, run.force)
    data, about = _read(log, out, model, table, split)
    checkpoint = Checkpoint(beside(out, "checkpoint.safetensors"), inputs, run.resume)
    with run.logged(), joined(model.device) as first:
        fit = model.fit(data, checkpoint)
    if not first:
        return None
    model.log_columns = dict(log.columns)
    model.save(out, inputs)
    checkpoint.path.unlink(missing_ok=True)
    figures = {"model": kind, **about, **_figures(model, data, fit)}
    result = {**figures, "out": str(out), "warnings": concerns(about["log"])}
    if report is None:
        return result
    write_page_of("retrieval", report, model, result)
    return {**result, "report": str(report)}


def _read(
    log: LogFile,
    out: str | Path,
    model: Recommender[Any],
    table: SemanticIDs | None,
    split: SplitSettings,
) -> tuple[RetrievalData, dict[str, Any]]:
    """The log in its parts, and what there is to say of it; the log itself is let go."""
    with rows_on_disk(out, log.parquet_rows()) as spool:
        events = log.read(spool)
        require_order(events, model.reads_order, split)
        data = RetrievalData.of(events, table, split)
        return data, _about(data, events)


def _about(data: RetrievalData, log: Interactions) -> dict[str, Any]:
    """What a model learns from."""
    return {
        "items": len(data.item_ids),
        "users": int((data.train.lengths > 0).sum()),
        "training_interactions": int(data.train.lengths.sum()),
        "log": described(log, data, data.item_ids if data.ids else None),
        "rows": len(log),
        "liked_by": liked_by(log),
        "items_without_interactions": int((data.popularity() == 0).sum()),
    }


def _figures(model: Recommender[Any], data: RetrievalData, fit: Fit) -> dict[str, Any]:
    """Where the model stands beside its baselines, and how it learned."""
    parts = {"validation": data.validation, "test": data.test}
    found = {name: evaluate(model, cases) for name, cases in parts.items()}
    floor = baselines(data, model.kind)
    others = {name: measured(floor, cases) for name, cases in parts.items()}
    return {
        **{name: summary(each) for name, each in found.items()},
        "measured": {name: each.to_dict() for name, each in data.measured.items()},
        "baselines": {
            name: {part: summary(others[part][name]) for part in parts} for name in floor
        },
        "verdict": verdict(model, found["validation"], others["validation"], "validation"),
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
        "seconds_per_epoch": fit.seconds_per_epoch,
    }


def summary(found: Evaluation, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Any]:
    """What an evaluation says of all users together, for JSON."""
    both = {"history_competes": found, "history_left_out": found.left_out}
    ids = {name: each.id_level for name, each in both.items()}
    figures = {
        name: {
            **each.figures,
            **{figure: float(values.mean()) for figure, values in each.at(cutoffs).items()},
            "coverage": each.coverage,
        }
        for name, each in both.items()
    }
    return {
        "users": len(next(iter(found.users.values()))),
        "cases": found.cases,
        "item_level": found.figures,  # what those who read this JSON have always read
        **figures,
        "id_level": ids if found.id_level else None,
    }

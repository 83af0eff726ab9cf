"""``mmq train ranking``, and ``mmq evaluate`` of what it made."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmq.cli.frame import (
    ConfigOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    ResumeOption,
    SetOption,
    UnsetSeedOption,
    emit,
)
from mmq.cli.log_columns import Columns, with_columns
from mmq.cli.retrieval import DedupeOption, DropUnknownOption, TiesOption, refuse, repeats

if TYPE_CHECKING:
    from mmq.ranking import Pieces, RankingData, RankingEvaluation, RankingSplit
    from mmq.ranking.base import Ranker
    from mmq.ranking.impressions import Impressions
    from mmq.semantic_ids import SemanticIDs

ROWS_IN_MEMORY = 50_000_000
"""Longer logs are kept on disk while they are learned from."""


@with_columns
def command(
    columns: Columns,
    interactions: Annotated[
        Path, typer.Option("--interactions", help="The log: what was shown, and how it went.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the model to write.")],
    kind: Annotated[str, typer.Option("--model", help="Kind of model: ppnet or means.")] = "ppnet",
    ids: Annotated[
        Path | None, typer.Option("--ids", help="ID table of the items; item IDs alone without.")
    ] = None,
    split: Annotated[
        Literal["chronological", "stored", "random"] | None,
        typer.Option(
            "--split",
            help="How validation and test part are told from the rest; stored where the log has a "
            "split column, else by time, else at random.",
        ),
    ] = None,
    positive_above: Annotated[
        float, typer.Option("--positive-above", help="Ratings above it count, without labels.")
    ] = 3.0,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            help="A further column of the log: of numbers where all of its values are, some with "
            "a fraction; else of categories. Repeats.",
        ),
    ] = None,
    numeric_column: Annotated[
        list[str] | None,
        typer.Option(
            "--numeric-column",
            help="A further column of numbers although all of them are whole. Repeats.",
        ),
    ] = None,
    ties: TiesOption = "file",
    dedupe: DedupeOption = False,
    drop_unknown: DropUnknownOption = False,
    seed: UnsetSeedOption = None,
    settings: SetOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train a model that predicts whether a user will like an item, and measure it.

    Means (shares of likes by user, item and column) are measured on the same rows; a sentence says
    whether the model is ahead of them.

    Example: mmq train ranking --interactions interactions.parquet --ids ids.parquet --out ranker

    On two GPUs: torchrun --nproc-per-node 2 -m mmq train ranking ...
    """
    from mmq.artifacts import beside
    from mmq.data.files import fingerprint
    from mmq.errors import warn
    from mmq.nn.processes import joined
    from mmq.ranking import RankingData, RankingSplit, evaluate_ranking, ranker_class
    from mmq.ranking.folder import check_target, save_ranker
    from mmq.ranking.means import Means
    from mmq.ranking.verdict import beside_means, fitted_means
    from mmq.replacing import check_replaced, file_input, write_note
    from mmq.semantic_ids import SemanticIDs
    from mmq.settings import gather

    maker = ranker_class(kind)
    values = gather(config, settings or [])
    if seed is not None and "seed" in maker.settings_class.model_fields:
        values["seed"] = seed
    model = maker(maker.settings_class.parse(values), device=device)
    refuse({"--ids": ids is not None and not model.reads_ids}, f"is not for {kind}; leave it out")
    division = RankingSplit.parse(
        {
            "split": split,
            "positive_above": positive_above,
            "ties": ties or "file",
            "dedupe": dedupe,
            "drop_unknown": drop_unknown,
        }
    )
    check_target(out)
    table = SemanticIDs.read(ids) if ids else None
    named = numeric_column or []
    pieces = open_log(interactions, columns, [*(column or []), *named]).with_numeric(named)
    pieces = known_rows(pieces, division, table)
    resolved = division.resolved_split(pieces.names)  # for other logs, later
    if resolved == "random" != split:
        warn("the log has no timestamps, so a hash of user and item divides its rows at random")
    division = RankingSplit.parse({**division.to_dict(), "split": resolved})
    read = file_input(interactions, fingerprint(interactions))
    inputs = {
        "interactions": read,
        "ids": table and file_input(ids or "", table.fingerprint()),
        "kind": model.kind,
        "columns": dict(columns),
        "further": pieces.columns,
        "numeric": named,
        **division.to_dict(),
        "settings": model.settings.to_dict(),
    }
    check_replaced(out, "a model", inputs, force)
    mark = f"{read['sha256']} {columns} {column} {named} {division.model_dump_json()}"
    checkpoint = beside(out, "checkpoint.safetensors")
    with rows_on_disk(out, pieces) as spool, joined(model.device) as first:
        data = RankingData.of(pieces, division, spool=spool)
        data.test.require_both_labels("test")  # rather now than after the training
        fit = model.fit(data, table, checkpoint, resume, mark)
        if not first:
            return
        save_ranker(model, out, division, fit)
        write_note(out, inputs)
        checkpoint.unlink(missing_ok=True)
        tested, held = evaluate_ranking(model, data), evaluate_ranking(model, data, data.validation)
        means = None if kind == Means.kind else fitted_means(data)
        compared = means and beside_means(held, means, data, data.validation, "validation")
        about = _about(pieces, data, division)
        result = {
            "model": model.kind,
            "users": len(model.vocabulary.users),
            "items": len(model.vocabulary.items),
            "impressions": {"train": len(data.train), "validation": len(data.validation)},
            "log": about,
            "validation": fit.validation,
            "test": summary(tested),
            "means": {
                "validation": compared.means.figures,
                "test": evaluate_ranking(means, data).figures,
            }
            if means and compared
            else None,
            "verdict": [compared.sentence] if compared else [],
            "epochs": fit.epochs,
            "best_epoch": fit.best_epoch,
            "rows_per_second": fit.rows_per_second,
            "out": str(out),
            "warnings": repeats(about),
        }
        emit(result, as_json, _trained_lines(result))


def evaluate(
    folder: Path,
    interactions: Path,
    columns: Columns,
    part: str,
    ids: Path | None,
    drop_unknown: bool,
    seed: int,
    device: str,
) -> tuple[dict[str, Any], Iterator[str]]:
    """What ``mmq evaluate`` says of a ranker: for JSON, and line by line.

    Args:
        folder: of the ranker.
        interactions: the log.
        columns: names that differ.
        part: ``test`` or ``validation``.
        ids: a newer ID table.
        drop_unknown: whether rows with items without ID are left out.
        seed: of the intervals.
        device: where to compute.
    """
    from mmq.ranking import RankingData, evaluate_ranking, load_ranker
    from mmq.ranking.folder import further_columns, split_settings
    from mmq.ranking.means import Means
    from mmq.ranking.verdict import beside_means, fitted_means
    from mmq.semantic_ids import SemanticIDs

    model = load_ranker(folder, device)
    if ids is not None:
        model.with_ids(SemanticIDs.read(ids))
    further, numeric = further_columns(folder)
    division = split_settings(folder)
    if drop_unknown:
        division = division.model_copy(update={"drop_unknown": True})
    pieces = open_log(interactions, columns, further).with_numeric(numeric, settled=True)
    data = RankingData.of(known_rows(pieces, division, model.ids), division)
    held = data.test if part == "test" else data.validation
    found = evaluate_ranking(model, data, held)
    beside = None
    if model.kind != Means.kind:
        beside = beside_means(found, fitted_means(data), data, held, part)
    about = _about(pieces, data, division)
    result = {
        "model": model.kind,
        "part": part,
        **summary(found),
        "intervals": _intervals(found, held.users, held.labels, seed),
        "means": beside.means.figures if beside else None,
        "verdict": [beside.sentence] if beside else [],
        "log": about,
        "warnings": [*_unmet(model, data, held), *repeats(about)],
    }
    return result, _lines(result)


def open_log(path: Path, columns: Columns, further: list[str]) -> Pieces:
    """The log in a file, with further columns."""
    from mmq.ranking import Pieces

    return Pieces.open(path, columns, further)


def known_rows(pieces: Pieces, division: RankingSplit, table: SemanticIDs | None) -> Pieces:
    """The rows whose items have an ID, where others are to be left out; a note says how many."""
    from mmq.errors import warn

    if table is None or not division.drop_unknown:
        return pieces
    left = pieces.with_items(table.item_ids)
    if left.rows < pieces.rows:
        warn(
            f"{pieces.rows - left.rows:,} of {pieces.rows:,} rows have an item without a semantic "
            "ID and were left out"
        )
    return left


def _about(pieces: Pieces, data: RankingData, division: RankingSplit) -> dict[str, Any]:
    """What is odd about a log, for JSON."""
    timed = "timestamp" in pieces.names  # without times, who meets an item twice is no mistake
    return {
        "rows": pieces.rows,
        "repeated_rows": data.met.repeated if timed or division.dedupe else 0,
        "dedupe": division.dedupe,
        "ties": {"order": division.ties},
    }


def _unmet(model: Ranker[Any], data: RankingData, held: Impressions) -> list[str]:
    """Sentences on columns most of whose values training never met."""
    import numpy as np

    numbers, found = model.numbering(data.met).column_numbers(held), []
    for place, name in enumerate(model.vocabulary.columns):
        values = data.met.column_values[name]
        given = values.to_numpy(zero_copy_only=False)[np.asarray(held.columns)[:, place]] != ""
        unmet = given & (numbers[:, place] == 0)
        if 2 * int(unmet.sum()) > int(given.sum()):
            first = values[int(np.asarray(held.columns)[unmet, place][0])].as_py()
            found.append(
                f"{unmet.sum():,} of {given.sum():,} rows have a value of the column {name} that "
                f"training never met, such as {first!r}; is it written as it was for the training?"
            )
    return found


@contextlib.contextmanager
def rows_on_disk(out: Path, pieces: Pieces) -> Iterator[Path | None]:
    """A folder for the numbers of a long log, which vanishes; None for one that fits in memory."""
    import os

    from mmq.artifacts import beside, made_folder

    if pieces.rows <= ROWS_IN_MEMORY:
        yield None
        return
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    folder = beside(out, f"rows-{rank}")
    for older in folder.parent.glob(f"{beside(out, 'rows-').name}*"):  # of a run that was killed
        of = older.name.rpartition("-")[2]
        if of.isdigit() and (int(of) == rank or (rank == 0 and int(of) >= processes)):
            shutil.rmtree(older, ignore_errors=True)
    with made_folder(folder.parent):
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


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


def _intervals(
    found: RankingEvaluation, users: Any, labels: Any, seed: int
) -> dict[str, list[float]]:
    """Ends of the 95% interval of AUC and GAUC."""
    import numpy as np

    from mmq.metrics.ranking_intervals import auc_interval, gauc_interval

    overall = auc_interval(users, labels, found.predictions, np.random.default_rng(seed))
    within = gauc_interval(found.by_user, np.random.default_rng(seed))
    return {"auc": list(overall[1:]), "gauc": list(within[1:])}


def _trained_lines(result: Mapping[str, Any]) -> Iterator[str]:
    met = result["impressions"]["train"]
    yield f"{result['model']} -> {result['out']}"
    yield (
        f"  trained on {met:,} impressions of {result['items']:,} items to {result['users']:,} "
        f"users; best epoch {result['best_epoch']} of {result['epochs']}"
    )
    figures = result["validation"]
    yield f"  validation: AUC {figures['auc']:.4f}, log-loss {figures['log_loss']:.4f}"
    yield from _lines(
        {
            "model": result["model"],
            "part": "test",
            **result["test"],
            "means": result["means"] and result["means"]["test"],
            "verdict": result["verdict"],
            "warnings": result["warnings"],
        }
    )


def _of_users(result: Mapping[str, Any]) -> str:
    """Whom GAUC is of, or that it is undefined."""
    users = f"{result['users']:,} users"
    if not result["eligible_users"]:
        return (
            f"  {'GAUC':<18}{'-':>8}   undefined: none of the {users} has rows of both labels in "
            "this part"
        )
    return (
        f"  {'':<18}GAUC is of the {result['eligible_users']:,} of {users} who have rows of both "
        f"labels, {result['eligible_impressions']:,} impressions"
    )


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{result['model']} on the {result['part']} part: {result['impressions']:,} impressions, "
        f"{result['liked']:,} of them liked"
    )
    intervals = result.get("intervals", {})
    for name, title in (("auc", "AUC"), ("gauc", "GAUC"), ("gauc_unweighted", "GAUC, unweighted")):
        low, high = intervals.get(name, (None, None))
        between = "" if low is None else f"   95% interval {low:.4f} to {high:.4f}"
        if name == "auc" or result["eligible_users"]:
            yield f"  {title:<18}{result[name]:>8.4f}{between}"
    yield _of_users(result)
    yield f"  {'log-loss':<18}{result['log_loss']:>8.4f}"
    yield (
        f"  {'calibration':<18}{result['calibration_ratio']:>8.4f}   mean prediction over share "
        f"of liked; expected error {result['calibration_error']:.4f}"
    )
    for name, stratum in result["strata"].items():
        figure = "-" if stratum["auc"] is None else f"{stratum['auc']:.4f}"
        yield (
            f"  {'AUC, ' + name:<18}{figure:>8}   {stratum['rows']:,} impressions of "
            f"{stratum['items']:,} items"
        )
    if result["means"]:
        found = {"AUC": result["means"]["auc"]}
        if result["eligible_users"]:
            found["GAUC"] = result["means"]["gauc"]
        yield f"  {'means':<18}" + ", ".join(f"{name} {v:.4f}" for name, v in found.items())
    yield from (f"  {each}" for each in result["verdict"])
    yield from (f"  warning: {each}" for each in result.get("warnings", []))

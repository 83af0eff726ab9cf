"""``mmq finetune``: a tokenizer and a model that learn together -> a new tokenizer, IDs, model."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

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

if TYPE_CHECKING:
    from mmq.data import CatalogueFile
    from mmq.finetuning import FinetuneFit
    from mmq.finetuning.control import Tested
    from mmq.tokenizers.soft import SoftTokenizer

CONFIG, TOKENIZER, MODEL, IDS, REPORT = (
    "finetune.json",
    "tokenizer",
    "model",
    "ids.parquet",
    "report.html",
)
FILES = (CONFIG, TOKENIZER, MODEL, IDS, REPORT)


class Subject(NamedTuple):
    """A model with what it learns from.

    Attributes:
        student: the model.
        data: the log in its parts.
        measure: gives the figures of a model of its kind on the test part.
    """

    student: Any
    data: Any
    measure: Callable[[Any], Tested]


@with_columns
def command(
    columns: Columns,
    what: Annotated[
        Literal["retrieval", "ranking"],
        typer.Argument(help="What the model is for.", show_default=False),
    ],
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="Folder of the tokenizer.")],
    model: Annotated[
        Path, typer.Option("--model", help="Folder of the model, trained on its IDs.")
    ],
    catalogue: Annotated[Path, typer.Option("--catalogue", help="The items' embeddings.")],
    interactions: Annotated[
        Path, typer.Option("--interactions", help="The log that the model was trained on.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder to write: tokenizer, ids.parquet, model, report.html."),
    ],
    control: Annotated[
        bool,
        typer.Option(
            "--control/--no-control",
            help="Also learn for as long with a frozen tokenizer, which the gain is told against.",
        ),
    ] = True,
    seed: UnsetSeedOption = None,
    settings: SetOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Fine-tune semantic IDs by what users do: tokenizer and model learn together (stage 2).

    The log is divided as it was for the model's training. What is best on the validation part is
    kept, the start included. The same is then done with a frozen tokenizer: the control that shows
    what longer training alone gives, and against which the gain is told.

    Example: mmq finetune retrieval --tokenizer tokenizer --model model --catalogue
    catalogue.parquet --interactions interactions.parquet --out tuned
    """
    from mmq.artifacts import beside, check_own_folder
    from mmq.data import CatalogueFile
    from mmq.data.files import fingerprint as files_fingerprint
    from mmq.finetuning import FinetuneSettings, finetune
    from mmq.finetuning.control import frozen
    from mmq.made_from import NOTE, Checkpoint, check_replaced, file_input
    from mmq.model_folder import fingerprint
    from mmq.settings import gather
    from mmq.tokenizers import Tokenizer
    from mmq.training.device import pick_device
    from mmq.training.distributed import joined

    values = gather(config, settings or [])
    if seed is not None:
        values["seed"] = seed
    chosen = FinetuneSettings.parse(values)
    check_own_folder(out, (*FILES, NOTE), CONFIG, ("finetune", "mmq"))
    _check_apart(out, (tokenizer, model, catalogue, interactions))
    loaded: Any = Tokenizer.load(tokenizer, device)
    file = CatalogueFile(catalogue)
    loaded.require_inputs(file)
    read = {
        "tokenizer": file_input(tokenizer, fingerprint(tokenizer)),
        "model": file_input(model, fingerprint(model)),
        "catalogue": file_input(catalogue, file.fingerprint()),
        "interactions": file_input(interactions, files_fingerprint(interactions)),
    }
    inputs = {"kind": what, **read, "columns": dict(columns), "settings": chosen.to_dict()}
    check_replaced(out, "a fine-tuned model", inputs, force)
    checkpoint, beside_it = (
        Checkpoint(beside(out, f"{name}.safetensors"), inputs, resume)
        for name in ("checkpoint", "control")
    )
    with joined(pick_device(device)) as first:
        subject = _OPEN[what](model, interactions, columns, device)
        before = subject.measure(subject.student)
        twin = copy.deepcopy(subject.student)
        rest = (subject.data, file.read())
        fit = finetune(loaded, subject.student, *rest, chosen, checkpoint)
        held = None
        if control and (alone := frozen(chosen)) is not None:
            again: Any = Tokenizer.load(tokenizer, device)
            held = finetune(again, twin, *rest, alone, beside_it)
    if not first:
        return
    after = subject.measure(subject.student)
    result = {
        "finetune": what,
        "settings": chosen.to_dict(),
        "best_epoch": fit.best_epoch,
        "epochs": sum("refit" not in each for each in fit.log),
        "before": {"validation": fit.before, "test": before.figures},
        "after": {"validation": fit.after, "test": after.figures},
        **_against(held, after, subject.measure(twin) if held else None, fit.after),
        "seconds": round(fit.seconds, 1),
        "out": str(out),
    }
    _write(out, loaded, subject, file, (fit, held), {**result, "made_from": inputs})
    for each in (checkpoint, beside_it):
        each.path.unlink(missing_ok=True)
        each.beside("refit").path.unlink(missing_ok=True)
    emit(result, as_json, _lines(result))


def _against(
    held: FinetuneFit | None, after: Tested, control: Tested | None, validation: dict[str, float]
) -> dict[str, Any]:
    """The control and what fine-tuning gains over it, for JSON; null where none was run."""
    from mmq.finetuning.control import gain, told_by_users

    if held is None or control is None:
        return {"control": None, "gain": None, "gain_test": None}
    figures = {"validation": held.after, "test": control.figures}
    return {
        "control": {**figures, "best_epoch": held.best_epoch, "seconds": round(held.seconds, 1)},
        "gain": gain({"validation": validation, "test": after.figures}, figures),
        "gain_test": told_by_users(after, control),
    }


def _check_apart(out: Path, sources: tuple[Path, ...]) -> None:
    """Raise :class:`~mmq.errors.DataError` if replacing ``out`` would take what is read with it."""
    from mmq.errors import DataError

    for source in sources:
        if source.resolve().is_relative_to(out.resolve()):
            raise DataError(f"{source} is read here and would be lost; choose another --out")


def _write(
    out: Path,
    tokenizer: SoftTokenizer[Any, Any],
    subject: Subject,
    file: CatalogueFile,
    fits: tuple[FinetuneFit, FinetuneFit | None],
    result: Mapping[str, Any],
) -> None:
    """Tokenizer, IDs, model and report together, whole or not at all; each knows the others."""
    from mmq.artifacts import write_folder
    from mmq.formats import write_json
    from mmq.made_from import write_note
    from mmq.model_folder import fingerprint
    from mmq.reports.moves import write_moves
    from mmq.semantic_ids import CatalogueRef, Lacking, build_manifest
    from mmq.tokenizers.reference import reference
    from mmq.version import __version__

    student, (fit, held) = subject.student, fits
    items = file.read(attributes=False)
    items = items.take(items.rows(student.semantic_ids.item_ids.to_pylist()))
    absent = {name: ~items.present[name] for name in tokenizer.dimensions}
    with write_folder(out, CONFIG) as temporary:
        tokenizer.save(temporary / TOKENIZER)
        manifest = build_manifest(
            tokenizer.codebook_sizes,
            tokenizer=reference(tokenizer, fingerprint(temporary / TOKENIZER)),
            catalogue=CatalogueRef(fingerprint=file.fingerprint(), items=len(file)),
            ordered=tokenizer.ordered,
            lacking=Lacking.of(fit.codes_after, absent, tokenizer.positions).to_manifest(),
        )
        student.rename(fit.codes_after, manifest)
        student.semantic_ids.write(temporary / IDS)
        subject.student.save(temporary / MODEL)
        write_moves(temporary / REPORT, student.semantic_ids, fit, subject.data, file, held)
        log = {"log": fit.log, **({"control_log": held.log} if held else {})}
        write_note(temporary, result["made_from"])
        told = {name: each for name, each in result.items() if name != "made_from"}
        write_json(temporary / CONFIG, {**told, **log, "mmq": __version__})


def _retrieval(model: Path, interactions: Path, columns: Columns, device: str) -> Subject:
    import numpy as np

    from mmq.cli.retrieval import load_model, read_log
    from mmq.errors import SettingsError
    from mmq.finetuning.control import Tested
    from mmq.metrics.resampling import PerUser
    from mmq.recommenders import HeterRec, RetrievalData, evaluate

    student = load_model(model, None, device)
    if not isinstance(student, HeterRec):
        raise SettingsError(
            f"{model} holds a {student.kind}, which has no semantic IDs to fine-tune; give a "
            "heterrec model"
        )
    division = student.split
    data = RetrievalData.of(read_log(interactions, columns), student.semantic_ids, division)

    def measure(model: Any) -> Tested:
        found, by = evaluate(model, data.test), "ndcg@10"
        users = found.users[by]
        return Tested(found.figures, by, PerUser(np.arange(len(users)), users))

    return Subject(student, data, measure)


def _ranking(model: Path, interactions: Path, columns: Columns, device: str) -> Subject:
    from mmq.cli.rank import known_rows, open_log
    from mmq.errors import SettingsError
    from mmq.finetuning.control import Tested
    from mmq.metrics.resampling import PerUser
    from mmq.ranking import PPNet, Ranker, RankingData, evaluate_ranking

    student: Ranker[Any] = Ranker.load(model, device)
    division = student.split
    if not isinstance(student, PPNet):
        raise SettingsError(
            f"{model} holds {student.kind}, which has no semantic IDs to fine-tune; give a ppnet "
            "model"
        )
    further, numeric = student.further_columns()
    pieces = open_log(interactions, columns, further).with_numeric(numeric, settled=True)
    pieces = known_rows(pieces, division, student.semantic_ids)
    data = RankingData.of(pieces, division)

    def measure(model: Any) -> Tested:
        found = evaluate_ranking(model, data)
        figures = {name: each for name, each in found.figures.items() if math.isfinite(each)}
        by_user = found.by_user
        return Tested(figures, "auc within users", PerUser(by_user.users, by_user.auc))

    return Subject(student, data, measure)


_OPEN = {"retrieval": _retrieval, "ranking": _ranking}


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    before, after, control = result["before"], result["after"], result["control"]
    kept = result["best_epoch"]
    yield f"fine-tuned for {result['finetune']} -> {result['out']}"
    yield (
        f"  the start was best of {result['epochs']} epochs, so the IDs are as they were"
        if kept == 0
        else f"  best epoch {kept} of {result['epochs']}: "
        f"{after['validation']['items_moved']:.1%} of the items have a new ID"
    )
    columns = {"before": before, **({"control": control} if control else {}), "after": after}
    yield f"  {'':<26}" + "".join(f"{name:>9}" for name in columns)
    rows = [(part, name) for part in ("validation", "test") for name in after["test"]]
    rows += [("", name) for name in ("colliding", "utilisation", "fvu")]
    for part, name in rows:
        values = [each[part or "validation"] for each in columns.values()]
        if all(name in each for each in values):
            label = f"{part}, {name}" if part else name
            yield f"  {label:<26}" + "".join(f"{each[name]:>9.4f}" for each in values)
    yield from _gain(result)


def _gain(result: Mapping[str, Any]) -> Iterator[str]:
    """What the IDs' learning is worth: the gain over the control, not over the start."""
    if result["control"] is None:
        yield (
            "  the tokenizer was frozen: this is what longer training alone gives"
            if result["settings"]["tokenizer_rate"] == 0
            else "  no control was run (--no-control), so this gain is that of longer training too"
        )
        return
    name = next(each for each in ("ndcg@10", "auc") if each in result["after"]["test"])
    for part in ("validation", "test"):
        start, alone, tuned = (result[when][part][name] for when in ("before", "control", "after"))
        yield (
            f"  {part}, {name}: {tuned - alone:+.4f} over the control, which learned for as long "
            f"with a frozen tokenizer and gained {alone - start:+.4f} itself"
        )
    test = result["gain_test"]
    if test is not None:
        yield (
            f"  over {test['users']:,} users of the test part {test['by']} differs from the "
            f"control's by {test['difference']:+.4f} ({test['low']:+.4f} to {test['high']:+.4f}, "
            f"p {test['p']:.2g}), of one seed"
        )

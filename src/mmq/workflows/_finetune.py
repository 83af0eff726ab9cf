"""A tokenizer and a model that learn together -> a new tokenizer, IDs, model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmq._artifacts import beside, check_own_folder, write_folder
from mmq._formats import write_json
from mmq._model_folder import fingerprint
from mmq._version import __version__
from mmq.data import CatalogueFile
from mmq.errors import DataError
from mmq.finetuning import FinetuneFit, FinetuneSettings
from mmq.finetuning import finetune as learn_together
from mmq.finetuning._adapters import adapter_of
from mmq.finetuning._control import Tested, frozen, gain, told_by_users
from mmq.made_from import NOTE, Checkpoint, check_replaced, file_input, write_note
from mmq.reports._moves import write_moves
from mmq.semantic_ids import CatalogueRef, Lacking, build_manifest
from mmq.tokenizers import Tokenizer
from mmq.tokenizers._reference import reference
from mmq.training._device import pick_device
from mmq.training._distributed import joined
from mmq.workflows._files import LogFile, ModelFolder
from mmq.workflows._run import Run, locks_out
from mmq.workflows._subject import Subject, ranking_subject, retrieval_subject

CONFIG, TOKENIZER, MODEL, IDS, REPORT = FILES = (
    "finetune.json",
    "tokenizer",
    "model",
    "ids.parquet",
    "report.html",
)
_OPEN = {"retrieval": retrieval_subject, "ranking": ranking_subject}


@dataclass(frozen=True)
class Stage1:
    """What stage 2 starts from.

    Attributes:
        tokenizer: its folder.
        model: folder of the model, trained on its IDs.
        catalogue: the items' embeddings.
        log: the interactions that the model was trained on.

    Example: ``finetune("retrieval", Stage1("tokenizer", "model", "catalogue.parquet",
    "interactions.parquet"), "tuned")``
    """

    tokenizer: str | Path
    model: str | Path
    catalogue: str | Path
    log: LogFile | str | Path

    def opened(self, device: str) -> tuple[Any, CatalogueFile]:
        """Tokenizer and catalogue, which belong together."""
        tokenizer: Any = Tokenizer.load(self.tokenizer, device)
        file = CatalogueFile(self.catalogue)
        tokenizer.require_inputs(file)
        return tokenizer, file

    def inputs(self, catalogue: CatalogueFile) -> dict[str, Any]:
        """Name and hash of each."""
        log = LogFile.of(self.log)
        return {
            "tokenizer": file_input(self.tokenizer, fingerprint(self.tokenizer)),
            "model": file_input(self.model, fingerprint(self.model)),
            "catalogue": file_input(self.catalogue, catalogue.fingerprint()),
            "interactions": log.as_input(),
            "columns": dict(log.columns),
        }


@locks_out
def finetune(
    what: Literal["retrieval", "ranking"],
    stage1: Stage1,
    out: str | Path,
    *,
    control: bool = True,
    settings: Mapping[str, Any] | None = None,
    run: Run = Run(),
) -> dict[str, Any] | None:
    """Figures of a fine-tuning, whose tokenizer, IDs, model and report are written to a folder.

    None in processes of ``torchrun`` other than the first.

    Args:
        what: what the model is for.
        stage1: tokenizer, model, catalogue and log.
        out: the folder to write.
        control: also learn for as long with a frozen tokenizer, which the gain is told against.
        settings: of :class:`~mmq.finetuning.FinetuneSettings`, by name.
        run: seed, device, resume, force.

    Raises:
        SettingsError: a model without semantic IDs, or a setting that is unknown or out of range.
        DataError: what is read does not belong together, or ``out`` holds something else.
    """
    out, log = Path(out), LogFile.of(stage1.log)
    chosen = run.parse(FinetuneSettings, settings)
    check_own_folder(out, (*FILES, NOTE), CONFIG, ("finetune", "mmq"))
    _check_apart(out, (stage1.tokenizer, stage1.model, stage1.catalogue, log.path))
    tokenizer, file = stage1.opened(run.device)
    inputs = {"kind": what, **stage1.inputs(file), "settings": chosen.to_dict()}
    check_replaced(out, "a fine-tuned model", inputs, run.force)
    paths = (beside(out, f"{name}.safetensors") for name in ("checkpoint", "control"))
    checkpoints = [Checkpoint(path, inputs, run.resume) for path in paths]
    with run.logged(), joined(pick_device(run.device)) as first:
        subject = _OPEN[what](ModelFolder(stage1.model, device=run.device), log)
        start, twin = subject.measure(subject.student), copy.deepcopy(subject.student)
        rest = (subject.data, file.read())
        fit = learn_together(tokenizer, subject.student, *rest, chosen, checkpoints[0])
        held, alone = None, frozen(chosen) if control else None
        if alone is not None:
            again, _ = stage1.opened(run.device)
            held = learn_together(again, twin, *rest, alone, checkpoints[1])
    if not first:
        return None
    tested = (start, subject.measure(subject.student), subject.measure(twin) if held else None)
    figures = {"settings": chosen.to_dict(), **_figures((fit, held), tested), "out": str(out)}
    result = {"finetune": what, **figures}
    _write(out, tokenizer, subject, file, (fit, held), {**result, "made_from": inputs})
    _remove(checkpoints)
    return result


def _remove(checkpoints: list[Checkpoint]) -> None:
    """Remove what is not needed once the result is written."""
    for each in checkpoints:
        each.path.unlink(missing_ok=True)
        each.beside("refit").path.unlink(missing_ok=True)


def _check_apart(out: Path, sources: tuple[str | Path, ...]) -> None:
    """Raise :class:`~mmq.errors.DataError` if replacing ``out`` would take what is read with it."""
    for source in map(Path, sources):
        if source.resolve().is_relative_to(out.resolve()):
            raise DataError(f"{source} is read here and would be lost; choose another --out")


def _figures(
    fits: tuple[FinetuneFit, FinetuneFit | None], tested: tuple[Tested, Tested, Tested | None]
) -> dict[str, Any]:
    """Figures before and after; those of the control and the gain, null where none was run.

    Args:
        fits: the fine-tuning, and the control.
        tested: the start, what was kept, and the control, on the test part.
    """
    (fit, held), (before, after, control) = fits, tested
    figures: dict[str, Any] = {
        "best_epoch": fit.best_epoch,
        "epochs": sum("refit" not in each for each in fit.log),
        "before": {"validation": fit.before, "test": before.figures},
        "after": {"validation": fit.after, "test": after.figures},
        **dict.fromkeys(("control", "gain", "gain_test")),
        "seconds": round(fit.seconds, 1),
    }
    if held is not None and control is not None:
        alone = {"validation": held.after, "test": control.figures}
        spent = {"best_epoch": held.best_epoch, "seconds": round(held.seconds, 1)}
        figures["control"] = {**alone, **spent}
        figures["gain"] = gain(figures["after"], alone)
        figures["gain_test"] = told_by_users(after, control)
    return figures


def _write(
    out: Path,
    tokenizer: Any,
    subject: Subject,
    file: CatalogueFile,
    fits: tuple[FinetuneFit, FinetuneFit | None],
    result: Mapping[str, Any],
) -> None:
    """Tokenizer, IDs, model and report together, whole or not at all; each knows the others."""
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
        adapter_of(student).rename(fit.codes_after, manifest)
        student.semantic_ids.write(temporary / IDS)
        student.figures = {}  # of its weights before; those of now are in the file of results
        student.save(temporary / MODEL)
        write_moves(temporary / REPORT, student.semantic_ids, fit, subject.data, file, held)
        log = {"log": fit.log, **({"control_log": held.log} if held else {})}
        write_note(temporary, result["made_from"])
        told = {name: each for name, each in result.items() if name != "made_from"}
        write_json(temporary / CONFIG, {**told, **log, "mmq": __version__})

"""``mmq finetune``: a tokenizer and a model that learn together -> a new tokenizer, IDs, model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from mmq.cli.frame import (
    ConfigOption,
    DeviceOption,
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
        measure: gives the figures of its test part.
        save: writes it to a folder.
    """

    student: Any
    data: Any
    measure: Callable[[], dict[str, float]]
    save: Callable[[Path], None]


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
    seed: UnsetSeedOption = None,
    settings: SetOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Fine-tune semantic IDs by what users do: tokenizer and model learn together (stage 2).

    The log is divided as it was for the model's training. What is best on the validation part is
    kept, the start included. --set tokenizer_rate=0 freezes the tokenizer: the control that shows
    what longer training alone would give.

    Example: mmq finetune retrieval --tokenizer tokenizer --model model --catalogue
    catalogue.parquet --interactions interactions.parquet --out tuned
    """
    from mmq.artifacts import beside, check_own_folder
    from mmq.data import CatalogueFile
    from mmq.data.files import fingerprint as files_fingerprint
    from mmq.finetuning import FinetuneSettings, finetune
    from mmq.nn.device import pick_device
    from mmq.nn.processes import joined
    from mmq.settings import gather
    from mmq.tokenizers import load_tokenizer
    from mmq.tokenizers.folder import fingerprint

    values = gather(config, settings or [])
    if seed is not None:
        values["seed"] = seed
    chosen = FinetuneSettings.parse(values)
    check_own_folder(out, FILES, CONFIG, ("finetune", "mmq"))
    _check_apart(out, (tokenizer, model, catalogue, interactions))
    checkpoint = beside(out, "checkpoint.safetensors")
    with joined(pick_device(device)) as first:
        loaded: Any = load_tokenizer(tokenizer, device)
        file = CatalogueFile(catalogue)
        loaded.require_inputs(file)
        subject = _OPEN[what](model, interactions, columns, device)
        before = subject.measure()
        mark = f"{what} {fingerprint(tokenizer)} {fingerprint(model)} {file.fingerprint()} "
        mark += f"{files_fingerprint(interactions)} {columns}"
        fit = finetune(
            loaded, subject.student, subject.data, file.read(), chosen, checkpoint, resume, mark
        )
    if not first:
        return
    result = {
        "finetune": what,
        "settings": chosen.to_dict(),
        "best_epoch": fit.best_epoch,
        "epochs": sum("refit" not in each for each in fit.log),
        "before": {"validation": fit.before, "test": before},
        "after": {"validation": fit.after, "test": subject.measure()},
        "seconds": round(fit.seconds, 1),
        "out": str(out),
    }
    _write(out, loaded, subject, file, fit, result)
    for path in (checkpoint, checkpoint.with_name(f"{checkpoint.name}.refit")):
        path.unlink(missing_ok=True)
    emit(result, as_json, _lines(result))


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
    fit: FinetuneFit,
    result: Mapping[str, Any],
) -> None:
    """Tokenizer, IDs, model and report together, whole or not at all; each knows the others."""
    from mmq import __version__
    from mmq.artifacts import write_folder
    from mmq.formats import write_json
    from mmq.reports.moves import write_moves
    from mmq.semantic_ids import CatalogueRef, TokenizerRef, build_manifest
    from mmq.tokenizers.folder import fingerprint

    student = subject.student
    with write_folder(out, CONFIG) as temporary:
        tokenizer.save(temporary / TOKENIZER)
        manifest = build_manifest(
            tokenizer.codebook_sizes,
            tokenizer=TokenizerRef(
                name=tokenizer.kind, fingerprint=fingerprint(temporary / TOKENIZER)
            ),
            catalogue=CatalogueRef(fingerprint=file.fingerprint(), items=len(file)),
            ordered=tokenizer.ordered,
        )
        student.rename(fit.codes_after, manifest)
        student.semantic_ids.write(temporary / IDS)
        subject.save(temporary / MODEL)
        write_moves(temporary / REPORT, student.semantic_ids, fit, subject.data, file)
        write_json(temporary / CONFIG, {**result, "log": fit.log, "mmq": __version__})


def _retrieval(model: Path, interactions: Path, columns: Columns, device: str) -> Subject:
    from mmq.cli.retrieval import load_model, read_log
    from mmq.errors import SettingsError
    from mmq.recommenders import HeterRec, RetrievalData, evaluate
    from mmq.recommenders.folder import save_recommender, split_settings

    student = load_model(model, None, device)
    if not isinstance(student, HeterRec):
        raise SettingsError(
            f"{model} holds a {student.kind}, which has no semantic IDs to fine-tune; give a "
            "heterrec model"
        )
    division = split_settings(model)
    data = RetrievalData.of(read_log(interactions, columns), student.semantic_ids, division)
    return Subject(
        student,
        data,
        lambda: evaluate(student, data.test).figures,
        lambda folder: save_recommender(student, folder, division),
    )


def _ranking(model: Path, interactions: Path, columns: Columns, device: str) -> Subject:
    from mmq.cli.rank import known_rows, open_log
    from mmq.ranking import RankingData, evaluate_ranking, load_ranker
    from mmq.ranking.folder import read_config, save_ranker, split_settings

    student, division = load_ranker(model, device), split_settings(model)
    pieces = open_log(interactions, columns, read_config(model)["columns"])
    pieces = known_rows(pieces, division, student.semantic_ids)
    data = RankingData.of(pieces, division)
    return Subject(
        student,
        data,
        lambda: evaluate_ranking(student, data).figures,
        lambda folder: save_ranker(student, folder, division),
    )


_OPEN = {"retrieval": _retrieval, "ranking": _ranking}


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    before, after = result["before"], result["after"]
    kept = result["best_epoch"]
    yield f"fine-tuned for {result['finetune']} -> {result['out']}"
    yield (
        f"  the start was best of {result['epochs']} epochs, so the IDs are as they were"
        if kept == 0
        else f"  best epoch {kept} of {result['epochs']}: "
        f"{after['validation']['items_moved']:.1%} of the items have a new ID"
    )
    yield f"  {'':<26}{'before':>9}{'after':>9}"
    for part in ("validation", "test"):
        for name in after["test"]:
            if name in before[part]:
                label = f"{part}, {name}"
                yield f"  {label:<26}{before[part][name]:>9.4f}{after[part][name]:>9.4f}"
    for name in ("colliding", "utilisation", "fvu"):
        yield f"  {name:<26}{before['validation'][name]:>9.4f}{after['validation'][name]:>9.4f}"

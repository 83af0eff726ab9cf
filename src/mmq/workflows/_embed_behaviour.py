"""What users do as one more embedding of a catalogue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmq._artifacts import check_writable
from mmq._model_folder import fingerprint
from mmq.data import Catalogue, CatalogueFile, write_catalogue
from mmq.data._catalogue import TAKEN
from mmq.data._item_ids import ItemIndex
from mmq.data._parquet import check_replaced
from mmq.data._sequences import Sequences
from mmq.encoders._behaviour import BehaviourEmbeddings, BehaviourSettings
from mmq.encoders._behaviour import embed_behaviour as embed_histories
from mmq.encoders._predicted import Prediction, learn_prediction
from mmq.errors import DataError, SettingsError
from mmq.made_from import file_input
from mmq.ranking import RankingData, RankingSplit
from mmq.recommenders import Recommender, RetrievalData, SASRec, SplitSettings
from mmq.recommenders._folder import FORMAT
from mmq.workflows._files import LogFile
from mmq.workflows._log import liked_by
from mmq.workflows._run import locks_out, refuse


@locks_out
def embed_behaviour(
    catalogue: str | Path,
    log: LogFile | str | Path,
    out: str | Path,
    name: str = "behaviour",
    *,
    model: str | Path | None = None,
    split: SplitSettings | RankingSplit | None = None,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Figures of a catalogue to which one modality was added: what users do with its items.

    Args:
        catalogue: the catalogue.
        log: the interactions.
        out: the catalogue to write, with it.
        name: of the modality.
        model: take the item vectors of this SASRec model instead.
        split: a recommender's or a ranker's, whose IDs they become: its training part is read.
        settings: of :class:`~mmq.encoders._behaviour.BehaviourSettings`, by name.
        force: replace a catalogue of other inputs.

    Raises:
        SettingsError: a name that is taken, an unknown setting, or a model that does not fit.
        DataError: the log does not fit the catalogue, or ``out`` holds something else.

    Example: ``embed_behaviour("catalogue.parquet", "interactions.parquet", "with.parquet")``
    """
    start, log, split = time.perf_counter(), LogFile.of(log), split or SplitSettings()
    chosen = BehaviourSettings.parse(settings or {})
    file = _checked(catalogue, name)
    check_writable(out, [catalogue, log.path, *([model] if model else [])])
    inputs = {
        "catalogue": file_input(catalogue, file.fingerprint()),
        **_inputs(log, name, model, split),
        "settings": chosen.to_dict(),
    }
    check_replaced(out, inputs, force)
    histories, told = _histories(file, log, split)
    if model is None:
        found = embed_histories(histories, len(file), chosen)
    else:
        found = _of_model(model, file, histories, split)
    prediction = None
    if not found.present.all() and file.dimensions and chosen.missing == "predicted":
        prediction = learn_prediction(file.batches(), found, chosen.seed)
    write_catalogue(out, _widened(file, name, found, prediction), inputs)
    seconds = round(time.perf_counter() - start, 3)
    figures = {"items": len(file), "modality": name, **_figures(found, prediction, histories)}
    return {**figures, "liked_by": told, "seconds": seconds, "out": str(out)}


def _figures(
    found: BehaviourEmbeddings, prediction: Prediction | None, histories: Sequences
) -> dict[str, Any]:
    return {
        "dimension": found.matrix.shape[1],
        "without_history": int((~found.present).sum()),
        "predicted": prediction is not None,
        "likeness": prediction.likeness if prediction else None,
        "training_interactions": int(histories.lengths.sum()),
    }


def _checked(catalogue: str | Path, name: str) -> CatalogueFile:
    file = CatalogueFile(catalogue)
    if name in file.dimensions or name in file.attributes or name in TAKEN:
        raise SettingsError(f"{catalogue} has a column '{name}' already; give another with --name")
    return file


def _inputs(
    log: LogFile, name: str, model: str | Path | None, split: SplitSettings | RankingSplit
) -> dict[str, Any]:
    return {
        "interactions": log.as_input(),
        "columns": dict(log.columns),
        "name": name,
        "model": model and _model_input(model, split),
        "for": "ranking" if isinstance(split, RankingSplit) else "retrieval",
        **split.to_dict(),
    }


def _model_input(folder: str | Path, split: SplitSettings | RankingSplit) -> dict[str, str]:
    refuse(
        {"--model": isinstance(split, RankingSplit)},
        "is not for ranking, which learns from all that was shown; leave it out",
    )
    FORMAT.read_config(folder)  # raises where there is no model
    return file_input(folder, fingerprint(folder))


def _histories(
    file: CatalogueFile, log: LogFile, split: SplitSettings | RankingSplit
) -> tuple[Sequences, list[str]]:
    """Histories of the training part in rows of the catalogue; the columns that tell what is liked.

    Raises:
        DataError: the catalogue lacks items of the log.
    """
    if isinstance(split, SplitSettings):
        events = log.read()
        return RetrievalData.of(events, file.item_ids(), split).train, liked_by(events)
    reader = log.reader()
    data = RankingData.of(reader, split)
    places = ItemIndex(file.item_ids()).find(data.item_ids)
    if (places < 0).any():
        lacking = data.item_ids[int((places < 0).argmax())].as_py()
        raise DataError(
            f"{file.path} lacks {int((places < 0).sum()):,} items of the log, such as {lacking!r}; "
            "give the catalogue of all items"
        )
    histories = data.train.positives
    told = "label" if "label" in reader.names else "rating"
    return Sequences(places[histories.rows], histories.first, histories.end), [told]


def _remedy(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return f"give {option}" if value else f"leave {option} out"
    return f"give {option} {value}"


def _of_model(
    folder: str | Path,
    file: CatalogueFile,
    histories: Sequences,
    split: SplitSettings | RankingSplit,
) -> BehaviourEmbeddings:
    """The item vectors of a SASRec model, for the items of its training part.

    Args:
        folder: of the model.
        file: the catalogue.
        histories: the training part, which has to be that of the model.
        split: what made it.

    Raises:
        SettingsError: another kind of model, or trained with another split or other filters.
        DataError: it was trained on another log.
    """
    model: Recommender[Any] = Recommender.load(folder)
    if not isinstance(model, SASRec):
        raise SettingsError(
            f"{folder} is a model of kind {model.kind}, whose vectors of items are not made of "
            "behaviour alone; give a SASRec model"
        )
    own, asked = model.split.to_dict(), split.to_dict()
    for name in own:
        if own[name] != asked[name]:
            raise SettingsError(
                f"{folder} was trained with {name} {own[name]}, not {asked[name]}, so that its "
                f"vectors know another training part; {_remedy(name, own[name])}"
            )
    item_ids = file.item_ids()
    rows = ItemIndex(model.items.item_ids).find(item_ids)
    met = np.bincount(histories.pack().rows, minlength=len(item_ids))
    if not np.array_equal(met, np.where(rows >= 0, model.items.popularity[rows], 0)):
        raise DataError(
            f"{folder} was not trained on the training part of this log; give the log that it "
            "learned from"
        )
    vectors = model.network.items.detach().cpu().numpy()
    matrix = np.where((met > 0)[:, None], vectors[rows], np.float32(0))
    return BehaviourEmbeddings(matrix, met > 0)


def _widened(
    file: CatalogueFile, name: str, found: BehaviourEmbeddings, prediction: Prediction | None
) -> Iterator[Catalogue]:
    """The pieces of a catalogue with one more modality."""
    start = 0
    for piece in file.batches(attributes=True):
        rows = slice(start, start + len(piece))
        own = BehaviourEmbeddings(found.matrix[rows], found.present[rows])
        if prediction is not None:
            own = prediction.complete(piece, own)
        yield piece.with_modality(name, own.matrix, own.present)
        start = rows.stop

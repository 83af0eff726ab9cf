"""``mmq embed behaviour``: what users do as one more embedding of a catalogue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmq.cli.frame import ConfigOption, ForceOption, JsonOption, SetOption, emit
from mmq.cli.log_columns import Columns, with_columns
from mmq.cli.retrieval import (
    DedupeOption,
    DropUnknownOption,
    TiesOption,
    liked_by,
    read_log,
    refuse,
    told_by,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from mmq.data import Catalogue, CatalogueFile
    from mmq.data.sequences import Sequences
    from mmq.encoders.behaviour import BehaviourEmbeddings, BehaviourSettings
    from mmq.encoders.predicted import Prediction


@with_columns
def command(
    columns: Columns,
    catalogue: Annotated[Path, typer.Argument(help="The catalogue.", show_default=False)],
    interactions: Annotated[Path, typer.Option("--interactions", help="The interaction log.")],
    out: Annotated[Path, typer.Option("--out", help="The catalogue to write, with it.")],
    name: Annotated[str, typer.Option("--name", help="Name of the new modality.")] = "behaviour",
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Instead: the item vectors of this SASRec model."),
    ] = None,
    purpose: Annotated[
        Literal["retrieval", "ranking"],
        typer.Option("--for", help="Whose training part is read: mmq train retrieval or ranking."),
    ] = "retrieval",
    split: Annotated[
        Literal["leave-one-out", "chronological", "stored"] | None,
        typer.Option(
            "--split",
            help="How the training part is told from the rest; what mmq train takes if not given.",
        ),
    ] = None,
    positive_above: Annotated[
        float, typer.Option("--positive-above", help="Ratings above it count, where there are any.")
    ] = 3.0,
    min_interactions: Annotated[
        int | None,
        typer.Option(
            "--min-interactions",
            min=0,
            help="Leave out users and items with fewer (k-core); 5 if not given.",
        ),
    ] = None,
    ties: TiesOption = None,
    dedupe: DedupeOption = False,
    drop_unknown: DropUnknownOption = False,
    settings: SetOption = None,
    config: ConfigOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Embed what users do: which items occur together in the training part of their histories.

    The new column is a modality like any other. Items without history borrow it from the item that
    comes nearest to what their content lets expect, or lack it (--set missing=left). --for, split
    and filters have to be those of the model that the IDs are for, so that nothing that is held out
    is seen.

    Example: mmq embed behaviour catalogue.parquet --interactions interactions.parquet
    --out with_behaviour.parquet
    """
    from mmq.artifacts import check_writable
    from mmq.data import CatalogueFile, write_catalogue
    from mmq.data.catalogue import TAKEN
    from mmq.data.files import fingerprint
    from mmq.data.parquet import check_replaced
    from mmq.encoders.behaviour import BehaviourSettings, embed_behaviour
    from mmq.encoders.predicted import learn_prediction
    from mmq.errors import SettingsError
    from mmq.replacing import file_input
    from mmq.settings import gather

    start = time.perf_counter()
    chosen: BehaviourSettings = BehaviourSettings.parse(gather(config, settings or []))
    filters: dict[str, Any] = {
        "positive_above": positive_above,
        "ties": ties or "file",
        "dedupe": dedupe,
        "drop_unknown": drop_unknown,
    }
    filters |= {"split": split} if split is not None else {}
    filters |= {"min_interactions": min_interactions} if min_interactions is not None else {}
    if purpose == "ranking":
        refuse(
            {"--min-interactions": min_interactions is not None, "--model": model is not None},
            "is not for ranking, which learns from all that was shown; leave it out",
        )
    file = CatalogueFile(catalogue)
    if name in file.dimensions or name in file.attributes or name in TAKEN:
        raise SettingsError(f"{catalogue} has a column '{name}' already; give another with --name")
    check_writable(out, [catalogue, interactions])
    inputs = {
        "catalogue": file_input(catalogue, file.fingerprint()),
        "interactions": file_input(interactions, fingerprint(interactions)),
        "columns": dict(columns),
        "name": name,
        "model": model and _model_input(model),
        "for": purpose,
        **filters,
        "settings": chosen.to_dict(),
    }
    check_replaced(out, inputs, force)
    training = _of_ranking if purpose == "ranking" else _of_retrieval
    histories, told = training(file, interactions, columns, filters)
    if model is None:
        found = embed_behaviour(histories, len(file), chosen)
    else:
        found = _of_model(model, file.item_ids(), histories, filters)
    prediction = None
    without = int((~found.present).sum())
    if without and file.dimensions and chosen.missing == "predicted":
        prediction = learn_prediction(file.batches(), found, chosen.seed)
    write_catalogue(out, _widened(file, name, found, prediction), inputs)
    result = {
        "items": len(file),
        "modality": name,
        "dimension": found.matrix.shape[1],
        "without_history": without,
        "predicted": prediction is not None,
        "likeness": prediction.likeness if prediction else None,
        "training_interactions": int(histories.lengths.sum()),
        "liked_by": told,
        "seconds": round(time.perf_counter() - start, 3),
        "out": str(out),
    }
    emit(result, as_json, _lines(result))


def _of_retrieval(
    file: CatalogueFile, interactions: Path, columns: Columns, filters: Mapping[str, Any]
) -> tuple[Sequences, list[str]]:
    """Histories of the training part of ``mmq train retrieval``, in rows of the catalogue.

    And the columns that tell what was liked.
    """
    from mmq.recommenders import RetrievalData, SplitSettings

    log = read_log(interactions, columns)
    return RetrievalData.of(log, file.item_ids(), SplitSettings.parse(filters)).train, liked_by(log)


def _of_ranking(
    file: CatalogueFile, interactions: Path, columns: Columns, filters: Mapping[str, Any]
) -> tuple[Sequences, list[str]]:
    """The same of ``mmq train ranking``.

    Raises:
        DataError: the catalogue lacks items of the log.
    """
    from mmq.data.sequences import Sequences
    from mmq.errors import DataError
    from mmq.ranking import Pieces, RankingData, RankingSplit
    from mmq.semantic_ids.lookup import ItemIndex

    pieces = Pieces.open(interactions, columns)
    data = RankingData.of(pieces, RankingSplit.parse(filters))
    places = ItemIndex(file.item_ids()).find(data.item_ids)
    if (places < 0).any():
        lacking = data.item_ids[int((places < 0).argmax())].as_py()
        raise DataError(
            f"{file.path} lacks {int((places < 0).sum()):,} items of the log, such as {lacking!r}; "
            "give the catalogue of all items"
        )
    histories = data.histories()
    told = "label" if "label" in pieces.names else "rating"
    return Sequences(places[histories.rows], histories.first, histories.end), [told]


def _model_input(folder: Path) -> dict[str, str]:
    from mmq.recommenders.folder import split_settings
    from mmq.replacing import file_input
    from mmq.tokenizers.folder import fingerprint

    split_settings(folder)  # raises where there is no model
    return file_input(folder, fingerprint(folder))


def _remedy(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return f"give {option}" if value else f"leave {option} out"
    return f"give {option} {value}"


def _of_model(
    folder: Path, item_ids: pa.Array, histories: Sequences, filters: Mapping[str, Any]
) -> BehaviourEmbeddings:
    """The item vectors of a SASRec model, for the items that its training part met.

    Args:
        folder: of the model.
        item_ids: of the catalogue.
        histories: the training part, which has to be that of the model.
        filters: what made it.

    Raises:
        SettingsError: another kind of model, or trained with another split or other filters.
        DataError: it was trained on another log.
    """
    import numpy as np

    from mmq.encoders.behaviour import BehaviourEmbeddings
    from mmq.errors import DataError, SettingsError
    from mmq.recommenders import SASRec, SplitSettings, load_recommender
    from mmq.recommenders.folder import split_settings
    from mmq.semantic_ids.lookup import ItemIndex

    model = load_recommender(folder)
    if not isinstance(model, SASRec):
        raise SettingsError(
            f"{folder} is a model of kind {model.kind}, whose vectors of items are not made of "
            "behaviour alone; give a SASRec model"
        )
    own, asked = split_settings(folder).to_dict(), SplitSettings.parse(filters).to_dict()
    for name in own:
        if own[name] != asked[name]:
            raise SettingsError(
                f"{folder} was trained with {name} {own[name]}, not {asked[name]}, so that its "
                f"vectors know another training part; {_remedy(name, own[name])}"
            )
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
    from mmq.encoders.behaviour import BehaviourEmbeddings

    start = 0
    for piece in file.batches(attributes=True):
        rows = slice(start, start + len(piece))
        own = BehaviourEmbeddings(found.matrix[rows], found.present[rows])
        if prediction is not None:
            own = prediction.complete(piece, own)
        yield piece.with_modality(name, own.matrix, own.present)
        start = rows.stop


def _lines(result: dict[str, Any]) -> list[str]:
    without = f"  {result['without_history']:,} items have no history: "
    if result["predicted"]:
        without += f"they borrow it by their content (held-out cosine {result['likeness']:.2f})"
    else:
        without += f"they lack {result['modality']}"
    return [
        f"{result['items']:,} items -> {result['out']}",
        f"  {result['modality']}: {result['dimension']} dimensions from "
        f"{result['training_interactions']:,} training interactions of a log "
        + told_by(result["liked_by"]),
        *([without] if result["without_history"] else []),
        f"next: mmq fit {result['out']} --out TOKENIZER",
    ]

"""``mmq embed behaviour``: what users do as one more embedding of a catalogue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmq.cli.frame import ConfigOption, JsonOption, SetOption, emit
from mmq.cli.log_columns import Columns, with_columns
from mmq.cli.retrieval import read_log

if TYPE_CHECKING:
    from mmq.data import Catalogue, CatalogueFile
    from mmq.encoders.behaviour import BehaviourEmbeddings, BehaviourSettings
    from mmq.encoders.predicted import Prediction
    from mmq.recommenders import RetrievalData


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
    split: Annotated[
        Literal["leave-one-out", "chronological", "stored"],
        typer.Option("--split", help="How the training part is told from the rest."),
    ] = "leave-one-out",
    positive_above: Annotated[
        float, typer.Option("--positive-above", help="Ratings above it count, where there are any.")
    ] = 3.0,
    min_interactions: Annotated[
        int,
        typer.Option(
            "--min-interactions", min=0, help="Leave out users and items with fewer (k-core)."
        ),
    ] = 5,
    settings: SetOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed what users do: which items occur together in the training part of their histories.

    The new column is a modality like any other. Items without history borrow it from the item that
    comes nearest to what their content lets expect, or lack it (--set missing=left). Split and
    filters have to be those of the model that the IDs are for, so that nothing that is held out is
    seen.

    Example: mmq embed behaviour catalogue.parquet --interactions interactions.parquet
    --out with_behaviour.parquet
    """
    from mmq.artifacts import check_writable
    from mmq.data import CatalogueFile, write_catalogue
    from mmq.encoders.behaviour import BehaviourSettings, embed_behaviour
    from mmq.encoders.predicted import learn_prediction
    from mmq.errors import SettingsError
    from mmq.recommenders import RetrievalData, SplitSettings
    from mmq.settings import gather

    start = time.perf_counter()
    chosen: BehaviourSettings = BehaviourSettings.parse(gather(config, settings or []))
    division = SplitSettings.parse(
        {"split": split, "positive_above": positive_above, "min_interactions": min_interactions}
    )
    file = CatalogueFile(catalogue)
    if name in file.dimensions or name in file.attributes or name in ("item_id", "shared"):
        raise SettingsError(f"{catalogue} has a column '{name}' already; give another with --name")
    check_writable(out, [catalogue, interactions])
    log = read_log(interactions, columns)
    data = RetrievalData.of(log, file.item_ids(), division)
    if model is None:
        found = embed_behaviour(data.train, len(file), chosen)
    else:
        found = _of_model(model, data)
    prediction = None
    without = int((~found.present).sum())
    if without and file.dimensions and chosen.missing == "predicted":
        prediction = learn_prediction(file.batches(), found, chosen.seed)
    write_catalogue(out, _widened(file, name, found, prediction), file.reductions)
    result = {
        "items": len(file),
        "modality": name,
        "dimension": found.matrix.shape[1],
        "without_history": without,
        "predicted": prediction is not None,
        "likeness": prediction.likeness if prediction else None,
        "training_interactions": int(data.train.lengths.sum()),
        "seconds": round(time.perf_counter() - start, 3),
        "out": str(out),
    }
    emit(result, as_json, _lines(result))


def _of_model(folder: Path, data: RetrievalData) -> BehaviourEmbeddings:
    """The item vectors of a SASRec model, for the items that its training part met.

    Raises:
        SettingsError: another kind of model.
        DataError: it was trained on none of the items.
    """
    import numpy as np

    from mmq.encoders.behaviour import BehaviourEmbeddings
    from mmq.errors import DataError, SettingsError
    from mmq.recommenders import SASRec, load_recommender
    from mmq.semantic_ids.lookup import ItemIndex

    model = load_recommender(folder)
    if not isinstance(model, SASRec):
        raise SettingsError(
            f"{folder} is a model of kind {model.kind}, whose vectors of items are not made of "
            "behaviour alone; give a SASRec model"
        )
    rows = ItemIndex(model.items.item_ids).find(data.item_ids)
    vectors = model.network.items.detach().cpu().numpy()
    present = rows >= 0
    present[present] = model.items.popularity[rows[present]] > 0
    if not present.any():
        raise DataError(f"{folder} was trained on none of the items of the catalogue")
    matrix = np.where(present[:, None], vectors[rows], np.float32(0))
    return BehaviourEmbeddings(matrix, present)


def _widened(
    file: CatalogueFile, name: str, found: BehaviourEmbeddings, prediction: Prediction | None
) -> Iterator[Catalogue]:
    """The pieces of a catalogue with one more modality."""
    from mmq.data import Catalogue
    from mmq.encoders.behaviour import BehaviourEmbeddings

    start = 0
    for piece in file.batches(attributes=True):
        rows = slice(start, start + len(piece))
        own = BehaviourEmbeddings(found.matrix[rows], found.present[rows])
        if prediction is not None:
            own = prediction.complete(piece, own)
        yield Catalogue(
            piece.item_ids,
            {**piece.embeddings, name: own.matrix},
            {**piece.present, name: own.present},
            piece.attributes,
        )
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
        f"{result['training_interactions']:,} training interactions",
        *([without] if result["without_history"] else []),
        f"next: mmq fit {result['out']} --out TOKENIZER",
    ]

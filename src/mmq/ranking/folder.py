"""The save format of rankers: config.json, model.safetensors, vocabulary and IDs, README.md.

config.json holds ``format`` (version), ``ranker`` (kind), ``settings``, ``split`` (settings of the
data it was fitted to), ``ids`` (manifest and fingerprint of the semantic IDs, or null),
``columns`` (names of the further columns of categories), ``numbers`` (name -> mean and sd of those
of numbers, where there are any), ``vocabulary_sha256`` (hash of the vocabulary's file),
``figures`` of the fit and the ``mmq`` version. vocabulary.parquet has a row a value: ``column``
(``user``, ``item``, or ``column:`` and a further column's name), ``value`` as text, ``whole``
(whether it is a whole number), ``shown`` and ``liked`` (its training impressions).
ids.parquet is the ID table, where there is one. This module is the only reader and writer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq.artifacts import check_own_folder, require_file, sha256, write_folder
from mmq.errors import FormatError, nearest
from mmq.formats import read_json, read_tensors, write_json, write_tensors
from mmq.made_from import NOTE
from mmq.ranking.base import Ranker
from mmq.ranking.fit import RankingFit
from mmq.ranking.means import Means
from mmq.ranking.numbers import Scale
from mmq.ranking.ppnet import PPNet
from mmq.ranking.rates import Tally
from mmq.ranking.settings import RankingSplit
from mmq.ranking.vocabulary import Vocabulary
from mmq.semantic_ids import SemanticIDs
from mmq.version import __version__

FORMAT = 2
"""2: rates are read; the vocabulary of format 1 has none."""
KINDS: dict[str, type[Ranker[Any]]] = {each.kind: each for each in (PPNet, Means)}
CONFIG, WEIGHTS, VOCABULARY, IDS, CARD, LOG = (
    "config.json",
    "model.safetensors",
    "vocabulary.parquet",
    "ids.parquet",
    "README.md",
    "training.jsonl",
)
FILES = (CONFIG, WEIGHTS, VOCABULARY, IDS, CARD, LOG)
_KEYS = {
    "format": int,
    "ranker": str,
    "settings": dict,
    "split": dict,
    "ids": dict | None,
    "columns": list,
    "vocabulary_sha256": str,
}
"""What config.json has to hold."""


def check_target(folder: str | Path) -> None:
    """Raise :class:`~mmq.errors.DataError` if saving there would overwrite something else."""
    check_own_folder(folder, (*FILES, NOTE), CONFIG, ("ranker", "mmq"))


def is_ranker(folder: str | Path) -> bool:
    """Whether a folder says that it holds a ranker."""
    path = Path(folder) / CONFIG
    return path.is_file() and "ranker" in read_json(path, "model (a folder with config.json)")


def save_ranker(
    ranker: Ranker[Any],
    folder: str | Path,
    split: RankingSplit | None = None,
    fit: RankingFit | None = None,
) -> None:
    """Write a ranker's folder, whole or not at all.

    What it was fitted to is written; a table given later (``PPNet.with_ids``) is not.

    Args:
        ranker: a fitted one.
        folder: to write, or to replace if mmq made it.
        split: how its log was divided, so that ``mmq evaluate`` does the same.
        fit: what the fit gave back.

    Raises:
        DataError: the folder exists with other content, or the disk is full.
    """
    check_target(folder)
    ids = ranker.fitted_ids
    config = {
        "format": FORMAT,
        "ranker": ranker.kind,
        "settings": ranker.settings.to_dict(),
        "split": (split or RankingSplit()).to_dict(),
        "ids": ids and {"fingerprint": ids.fingerprint(), "manifest": ids.manifest},
        "columns": list(ranker.vocabulary.columns),
        "numbers": {name: scale._asdict() for name, scale in ranker.vocabulary.numbers.items()},
        "figures": _figures(fit) if fit else {},
        "mmq": __version__,
    }
    with write_folder(folder, CONFIG) as temporary:
        write_tensors(temporary / WEIGHTS, ranker.tensors())
        _write_vocabulary(temporary / VOCABULARY, ranker.vocabulary)
        if ids is not None:
            ids.write(temporary / IDS)
        config["vocabulary_sha256"] = sha256(temporary / VOCABULARY)
        write_json(temporary / CONFIG, config)
        (temporary / CARD).write_text(_card(config), "utf-8")
        if ranker.log:
            lines = [json.dumps(epoch) + "\n" for epoch in ranker.log]
            (temporary / LOG).write_text("".join(lines), "utf-8")


def load_ranker(folder: str | Path, device: str = "auto") -> Ranker[Any]:
    """The ranker in a folder, ready to predict.

    Raises:
        DataError: no such folder.
        FormatError: damaged, of a newer version, or its parts do not belong together.
    """
    config, folder = read_config(folder), Path(folder)
    maker = KINDS[config["ranker"]]
    ranker = maker(maker.settings_class.parse(config["settings"]), device=device)
    ids = None
    if config["ids"] is not None:
        ids = SemanticIDs.read(folder / IDS)
        if ids.fingerprint() != config["ids"].get("fingerprint"):
            raise _foreign(folder / IDS)
    if sha256(require_file(folder / VOCABULARY, "vocabulary")) != config["vocabulary_sha256"]:
        raise _foreign(folder / VOCABULARY)
    known = _read_vocabulary(folder / VOCABULARY, config["columns"])
    ranker.load_vocabulary(known._replace(numbers=_scales(config, folder)), ids)
    ranker.restore(read_tensors(folder / WEIGHTS, "file of the ranker's weights"), folder)
    return ranker


def read_config(folder: str | Path) -> dict[str, Any]:
    """The checked config.json of a ranker's folder."""
    path = Path(folder) / CONFIG
    config = read_json(path, "ranker (a folder with config.json)")
    if isinstance(config.get("format"), int) and config["format"] > FORMAT:
        raise FormatError(
            f"{folder} has format {config['format']}, this mmq reads up to {FORMAT}; upgrade mmq"
        )
    if isinstance(config.get("format"), int) and config["format"] < FORMAT:
        raise FormatError(
            f"{folder} has format {config['format']}, whose network this mmq no longer has; train "
            "it again with mmq train ranking"
        )
    wrong = [name for name, kind in _KEYS.items() if not isinstance(config.get(name, ...), kind)]
    if wrong or config["ranker"] not in KINDS:
        what = wrong[0] if wrong else "ranker"
        raise FormatError(
            f"{path} is not the config of an mmq ranker ('{what}' is not as mmq writes it); give "
            "the folder that mmq train ranking wrote"
        )
    return config


def further_columns(folder: str | Path) -> tuple[list[str], list[str]]:
    """Names of the further columns that a ranker reads, and of those among them of numbers."""
    config = read_config(folder)
    numeric = list(config.get("numbers", {}))
    return [*config["columns"], *numeric], numeric


def _scales(config: dict[str, Any], folder: Path) -> dict[str, Scale]:
    try:
        return {
            name: Scale(float(each["mean"]), float(each["sd"]))
            for name, each in config.get("numbers", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"'numbers' of {folder / CONFIG} is not as mmq writes it; the file is damaged, copy or "
            "make it again"
        ) from error


def ranker_class(kind: str) -> type[Ranker[Any]]:
    """The class of a kind of ranker.

    Raises:
        FormatError: there is no such kind.
    """
    if kind not in KINDS:
        raise FormatError(f"there is no ranker '{kind}'; {nearest(kind, KINDS)}")
    return KINDS[kind]


def split_settings(folder: str | Path) -> RankingSplit:
    """How the log of the ranker in a folder was divided."""
    return RankingSplit.parse(read_config(folder)["split"])


def _foreign(path: Path) -> FormatError:
    return FormatError(
        f"{path} is not the file that the model was trained with; train it again, or copy the "
        "whole folder"
    )


def _write_vocabulary(path: Path, known: Vocabulary) -> None:
    kinds = {"user": known.users, "item": known.items}
    kinds |= {f"column:{name}": values for name, values in known.columns.items()}
    tables = []
    for (kind, values), tally in zip(kinds.items(), known.tallies, strict=True):
        tables.append(
            pa.table(
                {
                    "column": pa.array([kind] * len(values), pa.string()),
                    "value": values.cast(pa.string()),
                    "whole": pa.array([pa.types.is_integer(values.type)] * len(values)),
                    "shown": pa.array(tally.shown, pa.int64()),
                    "liked": pa.array(tally.liked, pa.int64()),
                }
            )
        )
    pq.write_table(pa.concat_tables(tables), path, compression="zstd")


def _read_vocabulary(path: Path, columns: list[str]) -> Vocabulary:
    table = pq.read_table(path)

    def of(kind: str) -> pa.Table:
        return table.filter(pc.equal(table["column"], kind))

    def values(rows: pa.Table) -> pa.Array:
        whole = rows.num_rows and rows["whole"][0].as_py()
        return rows["value"].combine_chunks().cast(pa.int64() if whole else pa.string())

    further = [f"column:{name}" for name in columns]
    groups = [of(kind) for kind in ("user", "item", *further)]
    tallies = (Tally(each["shown"].to_numpy(), each["liked"].to_numpy()) for each in groups)
    users, items, *others = map(values, groups)
    return Vocabulary(users, items, dict(zip(columns, others, strict=True)), tuple(tallies))


def _figures(fit: RankingFit) -> dict[str, Any]:
    """What is the same whenever the same model is trained: no times."""
    return {"epochs": fit.epochs, "best_epoch": fit.best_epoch, "validation": fit.validation}


def _card(config: dict[str, Any]) -> str:
    """Markdown that says what the folder holds."""
    figures = config["figures"].get("validation", {})
    known = "item IDs" if config["settings"].get("item_id", True) else "no item IDs"
    lines = [
        "---",
        "library_name: mmq",
        "tags: [semantic-ids, recommender-systems, click-prediction]",
        "---",
        "",
        f"# Ranker ({config['ranker']})",
        "",
        f"Predicts whether a user will like an item, from {known}"
        + (" and semantic IDs." if config["ids"] else "."),
        "",
        "```sh",
        "mmq evaluate THIS_FOLDER --interactions interactions.parquet",
        "```",
        "",
    ]
    if figures:
        lines += ["| validation | value |", "|---|---|"]
        lines += [f"| {name} | {value:.4f} |" for name, value in figures.items()]
        lines.append("")
    lines += ["| setting | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in config["settings"].items()]
    return "\n".join(lines) + f"\n\nMade by mmq {config['mmq']}.\n"

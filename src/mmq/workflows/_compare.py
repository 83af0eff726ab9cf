"""Models, or tables of semantic IDs, compared over the same log: paired, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from mmq.data._interactions import Interactions
from mmq.errors import DataError, SettingsError
from mmq.metrics.resampling import (
    PairedTest,
    PerUser,
    over_seeds,
    paired_by_user,
    paired_t_test,
)
from mmq.metrics.standing import WORDS, sign_of
from mmq.model import load
from mmq.recommenders import (
    CodeTransitions,
    Evaluation,
    Protocol,
    Recommender,
    RetrievalData,
    SplitSettings,
    evaluate,
)
from mmq.recommenders._evaluation import CUTOFFS
from mmq.semantic_ids import SemanticIDs, inspect_ids
from mmq.semantic_ids._table_folder import NOTE
from mmq.workflows._evaluate import Part
from mmq.workflows._files import LogFile

_WHERE = {"history_competes": "competes", "history_left_out": "is left out"}
PROTOCOLS = tuple(_WHERE)
_MONITOR = "ndcg@10"
LogColumns: TypeAlias = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Contender:
    """A model or an ID table of a comparison, once for each seed.

    Attributes:
        name: that it goes by in the result.
        paths: folders of the model, or ID tables, one a seed.
    """

    name: str
    paths: tuple[Path, ...]

    @classmethod
    def of(cls, text: str | Path | Contender) -> Contender:
        """Of ``path``, ``path,path`` (one a seed) or ``name=path,path``.

        Raises:
            SettingsError: a part of it is empty.

        >>> Contender.of("sasrec=runs/s0,runs/s1")
        Contender(name='sasrec', paths=(PosixPath('runs/s0'), PosixPath('runs/s1')))
        """
        if isinstance(text, Contender):
            return text
        whole = str(text)
        if Path(whole).exists():
            return cls(whole, (Path(whole),))
        name, separator, rest = whole.partition("=")
        parts = (rest if separator else whole).split(",")
        if not name or not all(parts):
            raise SettingsError(
                f"{whole!r} should read PATH, or NAME=PATH,PATH with a path for each seed"
            )
        return cls(name if separator else whole, tuple(map(Path, parts)))


class _Run(NamedTuple):
    """One seed of a contender, measured."""

    kind: str
    items: int
    found: Evaluation
    users: np.ndarray


def compare(
    contenders: Sequence[str | Path | Contender],
    log: LogFile | str | Path,
    part: Part = "test",
    *,
    split: SplitSettings | None = None,
    cutoffs: Sequence[int] = CUTOFFS,
    device: str = "auto",
) -> dict[str, Any]:
    """Figures of recommenders or ID tables on the same cases, and differences with intervals.

    A table is measured by transitions between its codes
    (:class:`~mmq.recommenders.CodeTransitions`), fitted to the training part: what its IDs tell of
    behaviour without any training.

    Args:
        contenders: two or more: paths, or :class:`Contender` for several seeds of one model.
        log: the interactions.
        part: what to measure on.
        split: of ID tables, how the log is divided; models say how theirs was.
        cutoffs: the k of recall, NDCG, hit rate and MRR.
        device: of the models.

    Raises:
        SettingsError: fewer than two contenders, or a split for models.
        DataError: no such model, or models of other splits or other users.

    Example: ``compare(["heterrec", "sasrec"], "interactions.parquet")["verdict"]``
    """
    named = [Contender.of(each) for each in contenders]
    _require_comparable(named)
    cutoffs = sorted({*cutoffs, 10})
    reader = _Reader(LogFile.of(log), part, split, cutoffs, device)
    runs = {each.name: [reader.run(path) for path in each.paths] for each in named}
    pairs = list(combinations(runs, 2))
    differences = [_difference(runs, *pair, cutoffs) for pair in pairs]
    return {
        "part": part,
        "rows": [_row(each, runs[each.name], cutoffs) for each in named],
        "differences": differences,
        "verdict": [_sentence(each, part) for each in differences],
        "warnings": list(_warnings(runs, len(pairs))),
    }


def _require_comparable(named: Sequence[Contender]) -> None:
    if len(named) < 2:
        raise SettingsError("one model cannot be compared; give two or more")
    names = [each.name for each in named]
    if len(set(names)) < len(names):
        double = max(names, key=names.count)
        raise SettingsError(f"{double} was given twice; name them apart, such as a=PATH b=PATH")
    for path in (path for each in named for path in each.paths):
        if not path.exists():
            raise DataError(f"there is no model or ID table at {path}; check the path")
    kinds = {_is_model(path) for each in named for path in each.paths}
    if len(kinds) > 1:
        raise SettingsError("models cannot be compared with ID tables; give one or the other")


def _is_model(path: Path) -> bool:
    """Whether a path is the folder of a model, and not an ID table, which may be a folder too."""
    return path.is_dir() and not (path / NOTE).is_file()


class _Reader:
    """Measures paths on the held-out part of one log.

    Args:
        log: the interactions.
        part: of it.
        split: of ID tables; None for the usual one.
        cutoffs: to measure at.
        device: of models.
    """

    def __init__(
        self,
        log: LogFile,
        part: Part,
        split: SplitSettings | None,
        cutoffs: Sequence[int],
        device: str,
    ) -> None:
        self.part, self.cutoffs, self.device = part, cutoffs, device
        self.log, self.split = log, split
        self._read: dict[LogColumns, Interactions] = {}
        self._first: tuple[Path, SplitSettings] | None = None

    def run(self, path: Path) -> _Run:
        """The figures of one model or table."""
        model = self._model(path) if _is_model(path) else None
        if model is None:
            ids, split = SemanticIDs.read(path), self.split or SplitSettings()
            data = RetrievalData.of(self._events(self.log), ids, split)
            model = CodeTransitions(device="cpu")
            model.learn(data)
        else:
            self._require_split(path, model.split)
            events, items = self._events(self.log.for_model(model)), model.items
            data = RetrievalData.of(events, items.ids or items.item_ids, model.split)
        cases = data.test if self.part == "test" else data.validation
        found = evaluate(model, cases, self.cutoffs)
        first = np.unique(cases.lists, return_index=True)[1]
        assert data.user_ids is not None, "data of a log know their users"
        users = data.user_ids.take(pa.array(cases.users[first])).cast(pa.string())
        return _Run(model.kind, len(data.item_ids), found, np.array(users.to_pylist()))

    def _events(self, log: LogFile) -> Interactions:
        """The log, read once by the same columns."""
        columns = frozenset(log.columns.items())
        if columns not in self._read:
            self._read[columns] = log.read()
        return self._read[columns]

    def _model(self, path: Path) -> Recommender[Any]:
        if self.split is not None:
            raise SettingsError("models keep the split of their training; leave the split out")
        model = load(path, self.device)
        if not isinstance(model, Recommender):
            raise DataError(
                f"{path} holds a {model.folder_format.family}; compare recommenders, or ID tables"
            )
        return model

    def _require_split(self, path: Path, split: SplitSettings) -> None:
        if self._first is None:
            self._first = path, split
        elif split != self._first[1]:
            other = self._first[1].to_dict()
            told = [f"{n} {v!r}, not {other[n]!r}" for n, v in split.to_dict().items()
                    if v != other[n]]  # fmt: skip
            raise DataError(
                f"{path} was trained on another split of the log than {self._first[0]} "
                f"({', '.join(told)}); train both alike"
            )


def _protocol(run: _Run, name: str) -> Protocol:
    return run.found if name == PROTOCOLS[0] else run.found.left_out


def _row(contender: Contender, runs: Sequence[_Run], cutoffs: Sequence[int]) -> dict[str, Any]:
    """Mean, sd and values over the seeds of a contender."""
    row: dict[str, Any] = {
        "name": contender.name,
        "model": runs[0].kind,
        "paths": list(map(str, contender.paths)),
        "items": runs[0].items,
        "users": len(runs[0].users),
    }
    for name in PROTOCOLS:
        values = [
            {
                figure: float(each.mean())
                for figure, each in _protocol(run, name).at(cutoffs).items()
            }
            for run in runs
        ]
        row[name] = {
            figure: {**spread._asdict(), "values": [each[figure] for each in values]}
            for figure, spread in over_seeds(values).items()
        }
    if not _is_model(contender.paths[0]):
        quality = inspect_ids(SemanticIDs.read(contender.paths[0]))
        row["ids"] = {
            "length": len(quality.codebook_sizes),
            "codebook_sizes": list(quality.codebook_sizes),
            "distinct_share": quality.distinct_share,
            "colliding_items": quality.colliding_items,
        }
    return row


def _difference(
    runs: dict[str, list[_Run]], first: str, second: str, cutoffs: Sequence[int]
) -> dict[str, Any]:
    """Figure -> paired difference with its interval, under both protocols."""
    found: dict[str, Any] = {"first": first, "second": second}
    pairs = list(zip(runs[first], runs[second], strict=False))
    for name in PROTOCOLS:
        each = [tuple(_protocol(run, name).at(cutoffs) for run in pair) for pair in pairs]
        found[name] = {
            figure: _tested(
                [
                    (PerUser(a.users, one[figure]), PerUser(b.users, other[figure]))
                    for (a, b), (one, other) in zip(pairs, each, strict=True)
                ]
            )._asdict()
            for figure in each[0][0]
        }
    return found


def _tested(runs: Sequence[tuple[PerUser, PerUser]]) -> PairedTest:
    """Over users and seeds where there are seeds, else over users."""
    if len(runs) > 1:
        return paired_by_user(runs)
    one, other = runs[0]
    both = np.intersect1d(one.users, other.users, assume_unique=True, return_indices=True)
    if len(both[0]) < 2:
        raise DataError("fewer than two users are measured of both; compare models of one log")
    return paired_t_test(one.figures[both[1]], other.figures[both[2]])


def _sentence(difference: dict[str, Any], part: str) -> str:
    """Who is ahead in N@10, and by how much."""
    told = []
    for name in PROTOCOLS:
        test = difference[name][_MONITOR]
        word = WORDS[sign_of(test["difference"], test["p_value"])]
        told.append(
            f"{word} {difference['second']} where the history {_WHERE[name]} "
            f"({test['difference']:+.4f} N@10 on {part}, 95% interval {test['low']:+.4f} to "
            f"{test['high']:+.4f})"
        )
    return f"{difference['first']} is " + ", ".join(told)


def _warnings(runs: dict[str, list[_Run]], pairs: int) -> Iterator[str]:
    counts = {name: each[0].items for name, each in runs.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        yield (
            f"they rank different numbers of items ({told}); fewer candidates make figures higher"
        )
    users = {name: len(each[0].users) for name, each in runs.items()}
    if len(set(users.values())) > 1:
        yield "they measure different users; differences are of those that both have"
    if any(len(each) == 1 for each in runs.values()):
        yield "one seed each: another seed may differ by more than users do; train with 3 or more"
    if pairs > 1:
        yield f"p-values are of single comparisons; there are {pairs} of them"

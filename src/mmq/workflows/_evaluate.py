"""How well a model finds held-out items, or tells positives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from mmq._model_folder import family_of
from mmq.data._sequences import Cases
from mmq.metrics.ranking_intervals import auc_interval, gauc_interval
from mmq.metrics.resampling import bootstrap_interval
from mmq.ranking import Means, RankingData, RankingEvaluation, evaluate_ranking
from mmq.ranking._impressions import Impressions
from mmq.ranking._unseen import unseen_values
from mmq.ranking._verdict import beside_means, fitted_means
from mmq.recommenders import Evaluation, NewItems, Protocol, Recommender, RetrievalData
from mmq.recommenders import evaluate as evaluate_retrieval
from mmq.recommenders._evaluation import CUTOFFS
from mmq.recommenders._verdict import baselines, measured, verdict
from mmq.workflows._files import LogFile, ModelFolder
from mmq.workflows._log import concerns, described, described_impressions, repeats
from mmq.workflows._new_items import show_new_items
from mmq.workflows._per_user import PER_USER, write_per_user
from mmq.workflows._run import refuse
from mmq.workflows._train_ranking import summary as ranking_summary
from mmq.workflows._train_retrieval import summary

Part = Literal["test", "validation"]


def evaluate(
    model: ModelFolder | str | Path,
    log: LogFile | str | Path,
    part: Part = "test",
    *,
    drop_unknown: bool = False,
    new_users: bool = False,
    cutoffs: Sequence[int] = CUTOFFS,
    per_user: str | Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of a model on held-out interactions, beside those of simple ones.

    Args:
        model: a recommender or a ranker.
        log: the interactions, which are divided as they were for the training.
        part: what to measure on.
        drop_unknown: leave out rows whose item has no semantic ID, in place of an error.
        new_users: of a recommender, measure users without a history too.
        cutoffs: of a recommender, the k of recall, NDCG, hit rate and MRR.
        per_user: of a recommender, a Parquet file to write: these figures of every user.
        seed: of the 95% intervals, by bootstrap over users.

    Raises:
        SettingsError: an option that is not for this kind of model.
        DataError: no such log or model, or they do not belong together.
        FormatError: a file is damaged.

    Example: ``evaluate("model", "interactions.parquet")["history_left_out"]["recall@10"]``
    """
    model, log = ModelFolder.of(model), LogFile.of(log)
    if family_of(model.path, ["ranker"]):
        refuse(
            {
                "--new-item-share": bool(model.new_item_share),
                "--new-since": model.new_since is not None,
                "--new-users": new_users,
                "--k": tuple(cutoffs) != CUTOFFS,
                "--per-user": per_user is not None,
            },
            "is for recommenders; a ranker is asked for what was shown",
        )
        return _of_ranker(model, log, part, drop_unknown, seed)
    if per_user is not None:
        PER_USER.check(per_user, [log.path])
    asked = _Asked(part, tuple(sorted({*cutoffs})), drop_unknown, new_users, seed)
    return _of_recommender(model, log, asked, per_user)


class _Asked(NamedTuple):
    """What is to be measured of a recommender; see :func:`evaluate`."""

    part: Part
    cutoffs: tuple[int, ...]
    drop_unknown: bool
    new_users: bool
    seed: int


def _of_recommender(
    model: ModelFolder, log: LogFile, asked: _Asked, per_user: str | Path | None
) -> dict[str, Any]:
    """Figures of a recommender: all items are ranked for every user."""
    part, cutoffs = asked.part, asked.cutoffs
    recommender = model.recommender()
    log = log.for_model(recommender)
    events, items, split = log.read(), recommender.items, recommender.split
    show_new_items(recommender, model, events, None)
    recommender.new_items.require_place(max(cutoffs))
    if asked.drop_unknown:
        split = split.model_copy(update={"drop_unknown": True})
    data = RetrievalData.of(events, items.ids or items.item_ids, split, asked.new_users)
    about = described(events, data, items.item_ids)
    cases = data.test if part == "test" else data.validation
    found = evaluate_retrieval(recommender, cases, cutoffs)
    others = measured(baselines(data, recommender.kind), cases, cutoffs)
    if per_user is not None:
        write_per_user(per_user, found, cases, data.user_ids, cutoffs)
    return {
        "model": recommender.kind,
        "part": part,
        "items": len(items.item_ids),
        **summary(found, cutoffs),
        "old_and_new": _old_and_new(recommender.new_items, found, cases, cutoffs),
        "measured": data.measured[part].to_dict(),
        "intervals": {
            name: _intervals(each, cutoffs, asked.seed)
            for name, each in (("history_competes", found), ("history_left_out", found.left_out))
        },
        "baselines": {name: summary(other, cutoffs) for name, other in others.items()},
        "verdict": verdict(recommender, found, others, part),
        "log": about,
        **({"per_user": str(per_user)} if per_user is not None else {}),
        "warnings": [*_other_log(recommender, data, log), *concerns(about)],
    }


def _old_and_new(
    new: NewItems, found: Evaluation, cases: Cases, cutoffs: Sequence[int]
) -> dict[str, Any] | None:
    """Figures of cases that ask for old items, and of those for new ones; None if none is new."""
    if not new.count:
        return None
    asked = new.mask[cases.targets]
    return {
        name: {
            "items": int(items.sum()),
            "cases": int(which.sum()),
            "history_competes": found.of_cases(which, cutoffs),
            "history_left_out": found.left_out.of_cases(which, cutoffs),
        }
        for name, items, which in (("old", ~new.mask, ~asked), ("new", new.mask, asked))
    }


def _other_log(model: Recommender[Any], data: RetrievalData, log: LogFile) -> list[str]:
    """What to say where the training part of the log is not what the model learned from."""
    here, there = data.popularity(), model.items.popularity
    if np.array_equal(there, here):
        return []
    if model.log_columns is None:
        remedy = "or its folder does not say by which columns: give them (such as --label-column)"
    elif dict(model.log_columns) != dict(log.columns):
        remedy = "or was read by other columns, which options such as --label-column name"
    else:
        remedy = "or has changed since"
    return [
        f"the training part of this log has {int(here.sum()):,} interactions and is not what the "
        f"model learned from, which had {int(there.sum()):,}; it is another log, {remedy}"
    ]


def _intervals(found: Protocol, cutoffs: Sequence[int], seed: int) -> dict[str, list[float]]:
    """Ends of the 95% interval of each figure; all figures resample the same users."""
    return {
        name: list(bootstrap_interval(values, np.random.default_rng(seed))[1:])
        for name, values in found.at(cutoffs).items()
    }


def _of_ranker(
    folder: ModelFolder, log: LogFile, part: Part, drop_unknown: bool, seed: int
) -> dict[str, Any]:
    """The same of a ranker: every impression is predicted."""
    model = folder.ranker()
    split = model.split
    if drop_unknown:
        split = split.model_copy(update={"drop_unknown": True})
    reader = log.reader_for(model)
    data = RankingData.of(reader, split, item_ids=model.ids and model.ids.item_ids)
    about = described_impressions(reader, data)
    held = data.test if part == "test" else data.validation
    found = evaluate_ranking(model, data, held)
    unseen = unseen_values(data.vocabulary, model.numbering(data.vocabulary), held)
    unmet = [sentence for name, each in unseen.items() for sentence in each.concern(name)]
    beside = None
    if model.kind != Means.kind:
        beside = beside_means(found, fitted_means(data), data, held, part)
    return {
        "model": model.kind,
        "part": part,
        **ranking_summary(found),
        "intervals": _ranking_intervals(found, held, seed),
        "means": beside.means.figures if beside else None,
        "verdict": [beside.sentence] if beside else [],
        "log": about,
        "warnings": [*unmet, *repeats(about)],
    }


def _ranking_intervals(
    found: RankingEvaluation, held: Impressions, seed: int
) -> dict[str, list[float]]:
    """Ends of the 95% interval of AUC and GAUC."""
    rng = np.random.default_rng(seed)
    overall = auc_interval(held.users, held.labels, found.predictions, rng)
    within = gauc_interval(found.by_user, np.random.default_rng(seed))
    return {"auc": list(overall[1:]), "gauc": list(within[1:])}

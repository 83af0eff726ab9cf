"""Questions of several users -> their answers, all of one release; runs in the model's thread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.data._sequences import Packed, Sequences
from mmq.decoding import Decoded, Excluded, Filters
from mmq.errors import UserError
from mmq.recommenders import Recommender
from mmq.release import Release
from mmq.serve._batcher import Answered
from mmq.serve._items import shown_items

Id = int | str


class Question(NamedTuple):
    """What one user is to be recommended.

    Attributes:
        history: item ids, oldest first.
        k: items wanted.
        allow: only these; None for all.
        exclude: not these.
        categories: attributes and the values that items have to have.
        exclude_history: whether the items of the history are left out.
        new_item_share: of the places that goes to new items, at least.
        why: whether to say what speaks for each.
    """

    history: Sequence[Id]
    k: int = 10
    allow: tuple[Id, ...] | None = None
    exclude: tuple[Id, ...] = ()
    categories: tuple[tuple[str, str], ...] = ()
    exclude_history: bool = True
    new_item_share: float = 0.0
    why: bool = False

    @property
    def search(self) -> tuple[Any, ...]:
        """What questions have to have in common to be one search."""
        return self.k, self.allow, self.categories, self.new_item_share


class _User(NamedTuple):
    """A question by the recommender's rows."""

    place: int
    history: np.ndarray
    exclude: np.ndarray
    unknown: int


class _List(NamedTuple):
    """What a user is given: rows of the recommender, without any -1, and their scores."""

    rows: np.ndarray
    scores: np.ndarray


Answer = dict[str, Any]
Call = Callable[[Sequences, int, Filters], Decoded]


def recommend(release: Release, questions: Sequence[Question]) -> Answered[Answer]:
    """An answer to each question, or the mistake in it.

    Questions that differ in what may be given are searches of their own; the others are one.
    """
    users = _users(release, questions)
    lists: dict[int, _List | UserError] = {}
    for group in _groups(questions):
        first = questions[group[0]]
        try:
            lists |= _search(release, first, [users[place] for place in group])
        except UserError as error:
            lists |= dict.fromkeys(group, error)
    answers = [
        each if isinstance(each, UserError) else _answer(release, question, user, each)
        for question, user, each in zip(
            questions, users, (lists[place] for place in range(len(questions))), strict=True
        )
    ]
    return Answered(release.identity, answers)


def _groups(questions: Sequence[Question]) -> Iterator[list[int]]:
    groups: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        groups[question.search].append(place)
    yield from groups.values()


def _users(release: Release, questions: Sequence[Question]) -> list[_User]:
    """Histories and exclusions by rows; all ids of all histories are looked up at once."""
    rows = _own_rows(release, [item for each in questions for item in each.history])
    ends = np.cumsum([len(each.history) for each in questions])
    # users of one request share what they exclude, which may be long
    unwanted = {each: _own_rows(release, each) for each in {each.exclude for each in questions}}
    users = []
    for place, (question, history) in enumerate(
        zip(questions, np.split(rows, ends[:-1]), strict=True)
    ):
        known = history[history >= 0]
        parts = [unwanted[question.exclude], *([known] if question.exclude_history else [])]
        users.append(_User(place, known, np.concatenate(parts), len(history) - len(known)))
    return users


def _own_rows(release: Release, ids: Sequence[Id]) -> np.ndarray:
    """The recommender's row of each id, -1 for none."""
    if not ids:
        return np.zeros(0, np.int64)
    rows = release.rows(ids)
    return np.where(rows >= 0, release.own_rows[rows], -1)


def _search(release: Release, first: Question, users: Sequence[_User]) -> dict[int, _List]:
    """The lists of users whose searches are alike, by the place of their questions."""
    model = release.models.recommender
    k = min(first.k, len(model.items.item_ids))
    allowed = _allowed(release, first)
    model.new_items = replace(model.new_items, share=first.new_item_share)
    try:
        model.new_items.require_place(k)
        known = [user for user in users if len(user.history)]
        found = dict(_of_known(model, known, k, allowed))
        for user in (each for each in users if not len(each.history)):
            found[user.place] = _of_unknown(model, user, k, allowed)
    finally:
        model.new_items = replace(model.new_items, share=0.0)
    return found


def _of_known(
    model: Recommender[Any], users: Sequence[_User], k: int, allowed: Tensor | None
) -> Iterator[tuple[int, _List]]:
    if not users:
        return
    excluded = _packed([user.exclude for user in users])
    offsets = np.concatenate([[0], np.cumsum(excluded.lengths)])
    filters = Filters(allowed, Excluded(torch.from_numpy(excluded.rows), torch.from_numpy(offsets)))
    found = model.search(Sequences.of(_packed([user.history for user in users])), k, filters)
    for user, each in zip(users, _lists(found), strict=True):
        yield user.place, each


def _of_unknown(model: Recommender[Any], user: _User, k: int, allowed: Tensor | None) -> _List:
    """What is most popular among what may be given."""
    if (user.exclude >= 0).any():
        allowed = (
            torch.ones(len(model.items.item_ids), dtype=torch.bool)
            if allowed is None
            else (allowed.clone())
        )
        allowed[torch.from_numpy(user.exclude[user.exclude >= 0])] = False
    nothing = Sequences.of(Packed(np.zeros(0, np.int64), np.zeros(1, np.int64)))
    return next(_lists(model.search_or_popular(nothing, k, allowed)))


def _packed(rows: Sequence[np.ndarray]) -> Packed:
    return Packed(np.concatenate(rows), np.array([len(each) for each in rows]))


def _lists(found: Decoded) -> Iterator[_List]:
    rows, scores = found.rows.cpu().numpy(), found.scores.cpu().numpy()
    for each, values in zip(rows, scores, strict=True):
        yield _List(each[each >= 0], values[each >= 0])


def _allowed(release: Release, question: Question) -> Tensor | None:
    """``(recommender's items,)`` bool, or None where all may be given."""
    if question.allow is None and not question.categories:
        return None
    mask = np.ones(len(release.table_rows), bool)
    if question.allow is not None:
        rows = _own_rows(release, question.allow)
        mask[:] = False
        mask[rows[rows >= 0]] = True
    for column, value in question.categories:
        mask &= release.shown.have(column, value)[release.table_rows]
    return torch.from_numpy(mask)


def _answer(release: Release, question: Question, user: _User, found: _List) -> Answer:
    """What is sent: ``Recommended`` of the wire."""
    rows = release.table_rows[found.rows]
    items = shown_items(release, rows)
    reasons = _reasons(release, user, found) if question.why and len(user.history) else None
    for place, (item, score) in enumerate(zip(items, found.scores.tolist(), strict=True)):
        item["score"] = score
        item["because"] = reasons[place] if reasons else None
    return {"items": items, "unknown": user.unknown, "popular": not len(user.history)}


def _reasons(release: Release, user: _User, found: _List) -> list[dict[str, Any] | None]:
    """For each item, the one of the history that speaks most for it, and how many share its codes.

    None where the recommender cannot tell.
    """
    if not len(found.rows):
        return []
    history = Sequences.of(_packed([user.history]))
    asked = torch.from_numpy(found.rows)[None]
    closest = release.models.recommender.closest_of_history(history, asked)[0].numpy()
    codes, past = (release.ids.codes[release.table_rows[at]] for at in (found.rows, user.history))
    shared = (codes[:, None] == past[None]).sum(1).tolist()
    rows = release.table_rows[np.maximum(closest, 0)]
    told = zip(release.item_ids(rows), release.shown.titles(rows), shared, closest, strict=True)
    return [
        None if row < 0 else {"item_id": item, "title": title, "shared_codes": counts}
        for item, title, counts, row in told
    ]

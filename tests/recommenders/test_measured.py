"""Who is measured, and who is left out and why, by plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._interactions import Interactions
from mmq.errors import DataError
from mmq.recommenders import Popularity, RetrievalData, SplitSettings, evaluate

ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 40), st.booleans()),
    min_size=1,
    max_size=40,
)


def log_of(rows):
    users, items, times, liked = (list(column) for column in zip(*rows, strict=True))
    return Interactions.build(
        {"user_id": users, "item_id": items, "timestamp": times,
         "rating": [5.0 if each else 1.0 for each in liked]}
    )  # fmt: skip


def by_loops(rows, core):
    """User -> what became of them in the test part of a split by time."""
    kept = [row for row in rows if row[3]]
    liked = {row[0] for row in kept}
    while True:
        users, items = ([row[place] for row in kept] for place in (0, 1))
        rest = [r for r in kept if users.count(r[0]) >= core and items.count(r[1]) >= core]
        if len(rest) == len(kept):
            break
        kept = rest
    times = sorted(row[2] for row in kept)
    cut = times[max(1, round(0.9 * len(times))) - 1] if times else 0
    fate = {}
    for user in {row[0] for row in rows}:
        own = [row[2] for row in kept if row[0] == user]
        if user not in liked:
            fate[user] = "nothing_liked"
        elif not own:
            fate[user] = "too_few"
        elif max(own) <= cut:
            fate[user] = "nothing_held_out"
        else:
            fate[user] = "measured" if min(own) <= cut else "no_history"
    return list(fate.values())


@given(ROWS, st.integers(0, 3))
def test_every_user_is_accounted_for(rows, core):
    settings = SplitSettings(split="chronological", min_interactions=core)
    try:
        found = RetrievalData.of(log_of(rows), settings=settings).measured["test"]
    except DataError:
        return  # nothing is left to learn from, or to measure on
    fates = by_loops(rows, core)
    names = ("measured", "nothing_liked", "too_few", "nothing_held_out", "no_history")
    assert {name: getattr(found, name) for name in names} == {n: fates.count(n) for n in names}
    assert found.users == len(fates)
    with_new = RetrievalData.of(log_of(rows), settings=settings, new_users=True).measured["test"]
    assert with_new.measured == fates.count("measured") + fates.count("no_history")


def half_new():
    """Ten users from the start and twenty who come after the cut, each with the same items."""
    rows = [(user, item, item, True) for user in range(10) for item in range(8)]
    rows += [(100 + user, 1 + user % 3, 50 + user, True) for user in range(20)]
    rows += [(user, 1, 55 + user, True) for user in (3, 4)]
    rows += [(user, 1, 90 + user, True) for user in range(3)]
    return RetrievalData.of, log_of(rows), SplitSettings(split="chronological", min_interactions=0)


def test_the_sentence_says_who_is_left_out_and_why():
    of, log, settings = half_new()
    found = of(log, settings=settings).measured["test"]
    assert found.sentence() == (
        "3 of 30 users are measured; of the others 19 have nothing in this part, 8 have no history "
        "before it"
    )
    assert of(log, settings=settings, new_users=True).measured["test"].sentence() == (
        "11 of 30 users are measured, 8 of them without a history, who are given what is popular; "
        "of the others 19 have nothing in this part"
    )


def test_new_users_are_given_what_is_popular():
    of, log, settings = half_new()
    data = of(log, settings=settings, new_users=True)
    model = Popularity()
    model.fit(of(log, settings=settings))
    new = data.test.take(data.test.histories.lengths == 0)
    every, alone = evaluate(model, data.test), evaluate(model, new)
    assert (every.cases, alone.cases) == (11, 8)
    met = model.items.popularity
    hits = []
    for target in new.targets.tolist():  # expected under ties, by how many places are left
        above, tied = int((met > met[target]).sum()), int((met == met[target]).sum())
        hits.append(min(max(5 - above, 0), tied) / tied)
    assert alone.figures["recall@5"] == pytest.approx(np.mean(hits))
    known = evaluate(model, data.test.with_history())
    mean = (3 * known.figures["recall@5"] + 8 * alone.figures["recall@5"]) / 11
    assert every.figures["recall@5"] == pytest.approx(mean)

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._sequences import Cases, Sequences
from mmq.errors import DataError, DivergedError
from mmq.recommenders import Items, Popularity, SASRec, evaluate
from mmq.semantic_ids import SemanticIDs
from mmq.testing import tiny_ids, tiny_retrieval_data

ITEMS = 9
FIGURES = ("recall@5", "ndcg@5", "recall@10", "ndcg@10")


class Drawn(Popularity):
    """Few levels of scores, drawn for every history; items of one ID score alike."""

    needs_ids = True

    def score_block(self, histories):
        buckets = np.unique(self.items.ids.codes, axis=0, return_inverse=True)[1].reshape(-1)
        scores = []
        for first, end in zip(histories.first, histories.end, strict=True):
            levels = np.random.default_rng([first, end]).integers(0, 4, ITEMS)
            scores.append(levels[buckets])
        return torch.tensor(np.array(scores), dtype=torch.float32)


def drawn(codes):
    ids = SemanticIDs.build(range(ITEMS), codes, [3, 2])
    recommender = Drawn(device="cpu")
    recommender.load_items(Items(ids.item_ids, ids, np.zeros(ITEMS, np.int64)))
    return recommender


def figures_by_loops(lists):
    """Means over lists of ``(scores of the candidates, places of the targets among them)``."""
    values = {name: [] for name in FIGURES}
    for scores, targets in lists:
        for name in FIGURES:
            kind, cutoff = name.split("@")
            total = 0.0
            for target in targets:
                above = sum(score > scores[target] for score in scores)
                places = range(above, above + scores.count(scores[target]))
                gains = [
                    (1.0 if kind == "recall" else 1 / np.log2(place + 2))
                    for place in places
                    if place < int(cutoff)
                ]
                total += sum(gains) / len(places)
            ideal = len(targets)
            if kind == "ndcg":
                ideal = sum(1 / np.log2(n + 2) for n in range(min(int(cutoff), ideal)))
            values[name].append(total / ideal)
    return {name: float(np.mean(each)) for name, each in values.items()}


def lists_by_loops(recommender, cases, exclude):
    """The item lists and the ID lists of all users and histories."""
    ids, asked = recommender.items.ids, {}
    for number, target in enumerate(cases.targets.tolist()):
        key = (cases.users[number], cases.histories.first[number], cases.histories.end[number])
        asked.setdefault(key, []).append((number, target))
    item_lists, id_lists = [], []
    for group in asked.values():
        number, targets = group[0][0], [target for _, target in group]
        one = cases.take(slice(number, number + 1)).histories
        scores, history = recommender.score_block(one)[0].tolist(), one.pack().rows.tolist()
        rows = [row for row in range(ITEMS) if not exclude or row not in history or row in targets]
        item_lists.append(([scores[row] for row in rows], [rows.index(row) for row in targets]))
        of = {tuple(ids.codes[row]): scores[row] for row in rows}
        names = list(of)
        wanted = {tuple(ids.codes[row]) for row in targets}
        id_lists.append((list(of.values()), [names.index(name) for name in wanted]))
    return item_lists, id_lists


@given(st.integers(0, 10_000), st.booleans())
def test_figures_are_those_of_plain_loops(seed, exclude):
    generator = np.random.default_rng(seed)
    recommender = drawn(generator.integers(0, (3, 2), (ITEMS, 2)))
    rows = generator.integers(0, ITEMS, 20)
    users, first, end, targets = [], [], [], []
    for user in range(4):
        for part in range(generator.integers(1, 3)):  # one or two histories a user
            asked = generator.choice(ITEMS, generator.integers(1, 4), replace=False)
            targets += asked.tolist()
            users += [user] * len(asked)
            first += [5 * user] * len(asked)
            end += [5 * user + 2 + 2 * part] * len(asked)
    histories = Sequences(rows, np.array(first), np.array(end))
    cases = Cases(histories, np.array(targets), np.array(users))
    whole = evaluate(recommender, cases)
    found = whole.left_out if exclude else whole
    item_lists, id_lists = lists_by_loops(recommender, cases, exclude)
    assert found.figures == pytest.approx(figures_by_loops(item_lists))
    assert found.id_level == pytest.approx(figures_by_loops(id_lists))
    assert len(found.users["recall@5"]) == len(item_lists)
    assert whole.cases == len(targets)


def test_an_item_beside_its_twin_in_the_history_is_still_found_by_its_id():
    recommender = drawn([[0, 0], [0, 0], *([[1, 0]] * 7)])
    history = Sequences(np.array([0]), np.array([0]), np.array([1]))
    cases = Cases(history, np.array([1]), np.array([0]))
    scores = recommender.score_block(history)[0]
    found = evaluate(recommender, cases).left_out
    place = 0 if scores[1] >= scores[2] else 1
    gains = [1.0, 1 / np.log2(3)]
    expected = np.mean(gains) if scores[1] == scores[2] else gains[place]
    assert found.id_level["ndcg@5"] == pytest.approx(expected)


def test_blocks_make_no_difference(monkeypatch):
    made = SASRec(hidden_dim=8, heads=2, epochs=1)
    made.fit(tiny_retrieval_data())
    whole = evaluate(made, tiny_retrieval_data().test)
    monkeypatch.setattr("mmq.recommenders._evaluation.BLOCK", 7)
    parts = evaluate(made, tiny_retrieval_data().test)
    assert parts.figures == pytest.approx(whole.figures)
    assert parts.coverage == whole.coverage


def test_id_level_is_for_recommenders_of_ids():
    made = Popularity()
    made.fit(tiny_retrieval_data())
    found = evaluate(made, tiny_retrieval_data().test)
    assert found.id_level is None
    assert found.coverage == pytest.approx(10 / 30)


def test_what_may_not_be_recommended_is_not_covered():
    """Users know 28 of 30 items, so that there are two to recommend."""
    made = Popularity()
    made.fit(tiny_retrieval_data())
    rows = np.tile(np.arange(28), 4)
    histories = Sequences(rows, np.arange(4) * 28, np.arange(1, 5) * 28)
    cases = Cases(histories, np.array([28, 29, 28, 29]), np.arange(4))
    assert evaluate(made, cases).left_out.coverage == pytest.approx(2 / 30)


class Broken(Popularity):
    value = np.nan

    def score_block(self, histories):
        scores = super().score_block(histories)
        scores[-1, 3] = self.value
        return scores


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers(value):
    made, cases = Broken(), tiny_retrieval_data().test
    made.load_items(Items(tiny_ids().item_ids, None, np.zeros(30, np.int64)))
    made.value = value
    with pytest.raises(DivergedError, match="a score is not a number"):
        evaluate(made, cases)


def test_no_cases():
    made = Popularity()
    made.fit(tiny_retrieval_data())
    with pytest.raises(DataError, match="no cases to evaluate"):
        evaluate(made, tiny_retrieval_data().test.take(slice(0, 0)))

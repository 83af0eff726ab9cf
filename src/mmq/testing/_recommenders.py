"""The promises that every recommender keeps, as tests to inherit, and a tiny log for them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import torch

from mmq._model_folder import CONFIG, WEIGHTS
from mmq.data._interactions import Interactions
from mmq.decoding import Excluded, Filters
from mmq.errors import DataError, FormatError
from mmq.made_from import Checkpoint
from mmq.recommenders._base import Recommender
from mmq.recommenders._candidates import exclude
from mmq.recommenders._data import RetrievalData, SplitSettings
from mmq.recommenders._evaluation import evaluate
from mmq.recommenders._folder import FORMAT, ITEMS
from mmq.recommenders._settings import RecommenderSettings
from mmq.semantic_ids import SemanticIDs
from mmq.testing._interruption import kill_after, raises

ITEMS_IN_ALL, USERS = 30, 40
"""Of the tiny log."""


def tiny_ids(items: int = ITEMS_IN_ALL, seed: int = 0) -> SemanticIDs:
    """Random semantic IDs of ``item-0``, ``item-1``...; codebooks differ in size, some IDs are
    shared."""
    sizes = (4, 2, 3)
    codes = np.random.default_rng([seed, 7]).integers(0, sizes, (items, len(sizes)))
    return SemanticIDs.build([f"item-{row}" for row in range(items)], codes, sizes)


def tiny_log(users: int = USERS, items: int = ITEMS_IN_ALL, seed: int = 0) -> Interactions:
    """Users who walk through the items with steps of 1 to 3; the last two items have no users."""
    generator = np.random.default_rng([seed, 11])
    lengths = generator.integers(5, 13, users)
    user = np.repeat(np.arange(users), lengths)
    steps = generator.integers(1, 4, len(user)) + (np.diff(user, prepend=-1) > 0) * user
    place = np.cumsum(steps) % (items - 2)
    return Interactions.build(
        {
            "user_id": user,
            "item_id": [f"item-{row}" for row in place],
            "timestamp": np.arange(len(user)),
        }
    )


@functools.cache
def tiny_retrieval_data() -> RetrievalData:
    """The tiny log with its semantic IDs."""
    return RetrievalData.of(tiny_log(), tiny_ids(), SplitSettings(min_interactions=0))


class RecommenderConformance:
    """The promises; each test says one.

    Attributes:
        recommender: makes one that is not fitted and, where it is trained over epochs, makes at
            least three of them with a patience as long.
    """

    recommender: Callable[[], Recommender[Any]]

    @classmethod
    def make(cls, **changes: Any) -> Recommender[Any]:
        """One that is not fitted, with some settings changed."""
        made = cls.recommender()
        return type(made)(made.settings.model_copy(update=changes), device="cpu")

    @classmethod
    @functools.cache
    def fitted(cls) -> Recommender[Any]:
        """The one that most tests look at, fitted once."""
        made = cls.make()
        made.fit(tiny_retrieval_data())
        return made

    def test_every_item_has_a_score(self) -> None:
        """Finite ones, of items without interactions too."""
        scores = self.fitted().score_block(tiny_retrieval_data().test.histories)
        assert scores.shape == (len(tiny_retrieval_data().test.targets), ITEMS_IN_ALL)
        assert scores.dtype == torch.float32
        assert scores.isfinite().all()
        assert not scores.requires_grad

    def test_scores_do_not_depend_on_order_or_company(self) -> None:
        """A user's scores are the same whoever is asked for beside."""
        recommender, histories = self.fitted(), tiny_retrieval_data().test.histories
        scores = recommender.score_block(histories)
        order = np.random.default_rng(1).permutation(len(histories))
        torch.testing.assert_close(recommender.score_block(histories.take(order)), scores[order])
        for number in range(3):
            alone = recommender.score_block(histories.take(slice(number, number + 1)))
            torch.testing.assert_close(alone, scores[number : number + 1])

    def test_the_best_items_are_found(self) -> None:
        """Scores of what a search finds are those of the items, and none left out is better."""
        recommender, histories = self.fitted(), tiny_retrieval_data().test.histories
        scores = recommender.score_block(histories)
        for k in (1, 7, ITEMS_IN_ALL):
            found = recommender.search(histories, k)
            assert found.rows.shape == found.scores.shape == (len(histories), k)
            torch.testing.assert_close(scores.gather(1, found.rows), found.scores)
            assert (found.scores.diff(dim=1) <= 1e-6).all()
            left = scores.scatter(1, found.rows, -torch.inf)
            assert (left.amax(1) <= found.scores[:, -1] + 1e-5).all()
            assert all(len(set(rows)) == k for rows in found.rows.tolist())

    def test_filters_are_kept(self) -> None:
        """Only what is allowed and not excluded comes back, in the order it has without filters."""
        recommender, histories = self.fitted(), tiny_retrieval_data().test.histories
        everything = recommender.search(histories, ITEMS_IN_ALL).rows.tolist()
        rows, lengths = histories.pack()
        excluded = Excluded(torch.from_numpy(rows), torch.tensor([0, *np.cumsum(lengths)]))
        allowed = torch.arange(ITEMS_IN_ALL) % 3 > 0
        found = recommender.search(histories, ITEMS_IN_ALL, Filters(allowed, excluded))
        histories_of = np.split(rows, np.cumsum(lengths)[:-1])
        for got, full, own in zip(found.rows.tolist(), everything, histories_of, strict=True):
            wanted = [row for row in full if row % 3 and row not in set(own.tolist())]
            assert got == wanted + [-1] * (ITEMS_IN_ALL - len(wanted))
        assert (found.scores[found.rows < 0] == -torch.inf).all()

    def test_blocks_of_users_make_no_difference(self, monkeypatch: Any) -> None:
        """Filters of single users go with them, however many are searched at a time."""
        recommender, histories = self.fitted(), tiny_retrieval_data().test.histories
        allowed = torch.from_numpy(
            np.random.default_rng(2).random((len(histories), ITEMS_IN_ALL)) < 0.6
        )
        for filters in (
            Filters(excluded=exclude(histories)),
            Filters(allowed),
            Filters(allowed, exclude(histories)),
        ):
            whole = recommender.search(histories, 9, filters).rows
            with monkeypatch.context() as patch:
                patch.setattr("mmq.recommenders._base.BLOCK", 7)
                assert torch.equal(recommender.search(histories, 9, filters).rows, whole)

    def test_fewer_items_than_asked_for(self) -> None:
        """What is missing is -1; excluded rows of -1 are ignored."""
        histories = tiny_retrieval_data().test.histories.take(slice(0, 2))
        nothing = Excluded(torch.tensor([-1, -1]), torch.tensor([0, 1, 2]))
        found = self.fitted().search(histories, ITEMS_IN_ALL + 3, Filters(excluded=nothing))
        assert found.rows.shape == (2, ITEMS_IN_ALL + 3)
        for rows in found.rows.tolist():
            assert sorted(rows[:-3]) == list(range(ITEMS_IN_ALL))
            assert rows[-3:] == [-1] * 3

    def test_recommendations_are_the_search_under_the_items_ids(self) -> None:
        """Ids go in and come out; the user's own history is left out on request."""
        recommender, histories = self.fitted(), tiny_retrieval_data().test.histories
        names = recommender.items.item_ids.to_pylist()
        given = [[names[row] for row in rows] for rows in _lists(histories)]
        found, expected = recommender.recommend(given, k=4), recommender.search(histories, 4)
        assert found.item_ids == [[names[row] for row in rows] for rows in expected.rows.tolist()]
        assert found.scores == expected.scores.tolist()
        for own, items in zip(
            given, recommender.recommend(given, 20, exclude_history=True).item_ids, strict=True
        ):
            assert not set(own) & set(items)
            assert len(items) == min(20, ITEMS_IN_ALL - len(set(own)))
        some = [*names[:3], names[-1], names[0]]
        found = recommender.recommend(given[:2], k=5, allowed=iter(some))
        assert [sorted(items) for items in found.item_ids] == [sorted(set(some))] * 2

    def test_figures_are_those_of_ranked_lists(self) -> None:
        """Recall and NDCG of ``evaluate`` by plain loops over scores, ties by expectation."""
        recommender, cases = self.fitted(), tiny_retrieval_data().test
        scores = recommender.score_block(cases.histories).tolist()
        for without_history in (False, True):
            expected: dict[str, list[float]] = {"recall@5": [], "ndcg@10": []}
            for own, target, history in zip(
                scores, cases.targets.tolist(), _lists(cases.histories), strict=True
            ):
                out = set(history) - {target} if without_history else set()
                candidates = [own[row] for row in range(len(own)) if row not in out]
                above = sum(score > own[target] for score in candidates)
                places = range(above, above + candidates.count(own[target]))
                gains = [1 / np.log2(place + 2) if place < 10 else 0.0 for place in places]
                expected["recall@5"].append(float(np.mean([place < 5 for place in places])))
                expected["ndcg@10"].append(float(np.mean(gains)))
            whole = evaluate(recommender, cases)
            found = whole.left_out if without_history else whole
            for name, values in expected.items():
                np.testing.assert_allclose(found.users[name], values, atol=1e-9)
                np.testing.assert_allclose(found.figures[name], np.mean(values), atol=1e-9)
            assert whole.cases == len(cases.targets)
            if found.id_level is not None:
                for name in found.figures:
                    assert found.id_level[name] >= found.figures[name] - 1e-9

    def test_the_fit_tells_what_it_kept(self) -> None:
        """The figures of the validation are those of the weights that were kept."""
        recommender = self.make()
        fit = recommender.fit(tiny_retrieval_data())
        assert fit.validation == evaluate(recommender, tiny_retrieval_data().validation).figures
        assert 0 <= fit.best_epoch <= fit.epochs == len(recommender.log)
        if fit.epochs:
            best = max(recommender.log, key=lambda epoch: epoch["ndcg@10"])
            assert best["epoch"] == fit.best_epoch

    def test_held_out_items_have_no_say(self) -> None:
        """Whatever the test part asks for, the fit is the same."""
        data, other = tiny_retrieval_data(), self.make()
        other.fit(data._replace(test=data.test.take(slice(0, 1))))
        assert _same(other, self.fitted())

    def test_the_seed_decides_all(self) -> None:
        """The same seed gives the same bits, another one another model."""
        again = self.make()
        again.fit(tiny_retrieval_data())
        assert _same(again, self.fitted())
        if "seed" in again.settings.to_dict():
            other = self.make(seed=1)
            other.fit(tiny_retrieval_data())
            assert not _same(other, self.fitted())

    def test_the_callers_randomness_is_left_alone(self, tmp_path: Path) -> None:
        """Numbers that the caller draws are the same after a fit, a load and a search."""
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        expected = torch.rand(2).tolist(), np.random.rand(2).tolist()  # noqa: NPY002
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        made = self.make()
        made.fit(tiny_retrieval_data())
        made.save(tmp_path / "model")
        Recommender.load(tmp_path / "model", device="cpu").recommend([["item-1"]])
        assert (torch.rand(2).tolist(), np.random.rand(2).tolist()) == expected  # noqa: NPY002

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        """Weights, settings and scores to the bit; saved again it has the same bytes."""
        recommender, histories = self.fitted(), tiny_retrieval_data().test.histories
        recommender.save(tmp_path / "one")
        loaded: Recommender[Any] = Recommender.load(tmp_path / "one", device="cpu")
        assert type(loaded) is type(recommender)
        assert loaded.settings == recommender.settings
        assert _same(loaded, recommender)
        assert torch.equal(loaded.score_block(histories), recommender.score_block(histories))
        assert loaded.items.item_ids.equals(recommender.items.item_ids)
        np.testing.assert_array_equal(loaded.items.popularity, recommender.items.popularity)
        given = [["item-1", "item-2"], ["item-5"]]
        assert loaded.recommend(given, 5) == recommender.recommend(given, 5)
        loaded.save(tmp_path / "two")
        one, two = tmp_path / "one", tmp_path / "two"
        for name in (WEIGHTS, ITEMS):
            assert (one / name).read_bytes() == (two / name).read_bytes()
        assert FORMAT.read_config(one) == FORMAT.read_config(two)

    def test_a_killed_fit_goes_on_to_the_same_bits(self, tmp_path: Path, monkeypatch: Any) -> None:
        """Resumed from a checkpoint it ends as one that was never stopped, log and all."""
        file, killed = tmp_path / "checkpoint", self.make()
        monkeypatch.setattr("mmq.training._loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        kill_after(2, monkeypatch)
        data = tiny_retrieval_data()
        try:
            killed.fit(data, Checkpoint(file))
        except KeyboardInterrupt:
            monkeypatch.undo()
        else:
            trained = isinstance(killed.settings, RecommenderSettings)
            assert not trained, "it is trained over epochs and writes no checkpoint"
            raise SkipTest("it writes no checkpoint")
        with raises(FormatError, "other data"):
            self.make().fit(data, Checkpoint(file, {"log": "other"}, resume=True))
        resumed = self.make()
        fit = resumed.fit(data, Checkpoint(file, resume=True))
        assert _same(resumed, self.fitted())
        assert resumed.log == self.fitted().log
        assert fit.validation == evaluate(self.fitted(), data.validation).figures

    def test_what_it_refuses_to_fit(self) -> None:
        """Nothing to learn from; items without semantic IDs, if it reads them."""
        data = tiny_retrieval_data()
        with raises(DataError, "no user has two interactions"):
            self.make().fit(data._replace(train=data.train.latest(1)))
        if self.fitted().needs_ids:
            with raises(DataError, "reads semantic IDs and was given none"):
                self.make().fit(data._replace(ids=None))

    def test_what_it_refuses_to_recommend(self) -> None:
        """Anything before it is fitted; histories, items and numbers that make no sense."""
        with raises(DataError, "not fitted yet"):
            self.make().recommend([["item-1"]])
        known = ["item-1"]
        for histories, options, expected in (
            ([], {}, "no history was given"),
            ([known, []], {}, "history 2 is empty"),
            ([["item-1", "item-999"]], {}, "item 'item-999' of the history is none of the 30"),
            ([known], {"k": 0}, "0 recommendations were asked for of 30 items; ask for 1 to 30"),
            ([known], {"k": 31}, "31 recommendations were asked for of 30"),
            ([known], {"allowed": []}, "list of allowed items is empty"),
            ([known], {"allowed": ["thing"]}, "'thing' of the allowed items is none of the 30"),
            (
                [["item-2"], known],
                {"allowed": known, "exclude_history": True},
                "leave nothing to recommend for history 2",
            ),
        ):
            with raises(DataError, expected):
                self.fitted().recommend(histories, **options)

    def test_damaged_and_foreign_folders(self, tmp_path: Path) -> None:
        """A folder with other content is left alone, damaged files are refused by name."""
        (tmp_path / "thesis.txt").write_text("years of work")
        with raises(DataError, "holds other files"):
            self.fitted().save(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
        for name in (CONFIG, WEIGHTS, ITEMS):
            folder = tmp_path / name.partition(".")[0]
            self.fitted().save(folder)
            (folder / name).write_bytes((folder / name).read_bytes()[:-20])
            with raises(FormatError, "truncated or damaged"):
                Recommender.load(folder, device="cpu")
            (folder / name).unlink()
            with raises(DataError, "there is no"):
                Recommender.load(folder, device="cpu")


def _lists(histories: Any) -> list[list[int]]:
    packed = histories.pack()
    return [each.tolist() for each in np.split(packed.rows, np.cumsum(packed.lengths)[:-1])]


def _same(one: Recommender[Any], other: Recommender[Any]) -> bool:
    """Whether two have learned the same to the bit."""
    states = one.tensors(), other.tensors()
    popularity = np.array_equal(one.items.popularity, other.items.popularity)
    return (
        popularity
        and states[0].keys() == states[1].keys()
        and all(np.array_equal(tensor, states[1][name]) for name, tensor in states[0].items())
    )

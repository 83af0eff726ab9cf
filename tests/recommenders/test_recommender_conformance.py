"""Every kind of recommender keeps the promises of all, and these can be broken."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmq.decoding import Filters
from mmq.model import kinds
from mmq.recommenders import EASE, CodeTransitions, HeterRec, ItemKNN, Popularity, SASRec
from mmq.testing import RecommenderConformance

SMALL = {"hidden_dim": 8, "heads": 2, "item_layers": 1, "history": 5, "epochs": 4, "patience": 4}
HETERREC = {**SMALL, "token_layers": 1}


class TestPopularity(RecommenderConformance):
    recommender = staticmethod(lambda: Popularity())


class TestItemKNN(RecommenderConformance):
    recommender = staticmethod(lambda: ItemKNN(neighbours=7))


class TestEASE(RecommenderConformance):
    recommender = staticmethod(lambda: EASE(penalty=5))


class TestCodeTransitions(RecommenderConformance):
    recommender = staticmethod(lambda: CodeTransitions(smoothing=5))


class TestSASRec(RecommenderConformance):
    recommender = staticmethod(lambda: SASRec(**SMALL))


class TestSampledSASRec(RecommenderConformance):
    recommender = staticmethod(lambda: SASRec(**SMALL, negatives=4))

    @pytest.fixture(autouse=True)
    def _large(self, monkeypatch):
        """As of a table of which few rows learn in a step."""
        monkeypatch.setattr("mmq.recommenders._network.MOST_DENSE", 0)


class TestHeterRec(RecommenderConformance):
    recommender = staticmethod(lambda: HeterRec(**HETERREC))


class TestSampledHeterRec(RecommenderConformance):
    recommender = staticmethod(lambda: HeterRec(**HETERREC, negatives=4, unmet_weight=0.1))


class TestAutoregressiveHeterRec(RecommenderConformance):
    recommender = staticmethod(lambda: HeterRec(**HETERREC, head="autoregressive", ties="rank"))


class TestHeterRecWithEverything(RecommenderConformance):
    recommender = staticmethod(
        lambda: HeterRec(
            **HETERREC,
            token_scope="history",
            objective="codes",
            steps=3,
            item_token=True,
        )
    )


SUITES = (TestPopularity, TestItemKNN, TestEASE, TestCodeTransitions, TestSASRec, TestHeterRec)


def test_every_kind_is_here():
    assert {suite.recommender().kind for suite in SUITES} == kinds("recommender").keys()


class Sociable(SASRec):
    def score_block(self, histories):
        return super().score_block(histories) + torch.arange(30) * len(histories)


class Shuffled(SASRec):
    def search_block(self, histories, k, filters, beams):
        found = super().search_block(histories, k, filters, beams)
        return found._replace(rows=found.rows.flip(1))


class Deaf(SASRec):
    def search_block(self, histories, k, filters, beams):
        return super().search_block(histories, k, Filters(filters.allowed), beams)


class Peeking(SASRec):
    def _fit(self, data, *arguments):
        fit = super()._fit(data, *arguments)
        self.network.items.data += len(data.test.targets) * 1e-3
        return fit


class Restless(SASRec):
    def _fit(self, data, *arguments):
        fit = super()._fit(data, *arguments)
        self.network.items.data += 1e-6 * np.random.default_rng().random()
        return fit


class Meddling(SASRec):
    def restore(self, tensors, folder):
        super().restore(tensors, folder)
        torch.manual_seed(0)


class Forgetful(SASRec):
    def restore(self, tensors, folder):
        super().restore(tensors, folder)
        self.network.norm.bias.data += 0.1


class Oblivious(SASRec):
    def _fit(self, data, checkpoint):
        return super()._fit(data, checkpoint and replace(checkpoint, resume=False))


class Last(SASRec):
    def _fit(self, data, *arguments):
        fit = super()._fit(data, *arguments)
        self.network.items.data = self.network.items.data.flip(0)
        return fit


class Careless(SASRec):
    def rows_of(self, item_ids, what):
        _ = self.items
        return np.maximum(self._find.find(item_ids), 0)


BREAKS = {
    Sociable: "scores_do_not_depend_on_order_or_company",
    Shuffled: "the_best_items_are_found",
    Deaf: "filters_are_kept",
    Peeking: "held_out_items_have_no_say",
    Restless: "the_seed_decides_all",
    Meddling: "the_callers_randomness_is_left_alone",
    Forgetful: "saved_and_loaded_it_is_the_same",
    Oblivious: "a_killed_fit_goes_on_to_the_same_bits",
    Last: "the_fit_tells_what_it_kept",
    Careless: "what_it_refuses_to_recommend",
}


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.__name__)
def test_a_recommender_that_breaks_a_promise_fails_its_test(broken, tmp_path, monkeypatch):
    monkeypatch.setitem(kinds("recommender"), "sasrec", broken)

    class Suite(RecommenderConformance):
        recommender = staticmethod(lambda: broken(**SMALL))

    test = getattr(Suite(), f"test_{BREAKS[broken]}")
    asked = test.__code__.co_varnames[: test.__code__.co_argcount]
    given = {"tmp_path": tmp_path, "monkeypatch": monkeypatch}
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(**{name: given[name] for name in asked if name in given})

"""Every kind of recommender keeps the promises of all."""

from mmq.recommenders import KINDS, HeterRec, Popularity, SASRec
from mmq.testing import RecommenderConformance

SMALL = {"hidden_dim": 8, "heads": 2, "item_layers": 1, "history": 5, "epochs": 4, "patience": 4}
HETERREC = {**SMALL, "token_layers": 1}


class TestPopularity(RecommenderConformance):
    recommender = staticmethod(lambda: Popularity())


class TestSASRec(RecommenderConformance):
    recommender = staticmethod(lambda: SASRec(**SMALL))


class TestHeterRec(RecommenderConformance):
    recommender = staticmethod(lambda: HeterRec(**HETERREC))


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
            ties="items",
        )
    )


SUITES = (TestPopularity, TestSASRec, TestHeterRec)


def test_every_kind_is_here():
    assert {suite.recommender().kind for suite in SUITES} == KINDS.keys()

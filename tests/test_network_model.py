"""What models that are networks do alike."""

import pytest
import torch

from mmq.errors import DataError
from mmq.recommenders import SASRec
from mmq.testing import tiny_retrieval_data

SMALL = {"hidden_dim": 8, "heads": 2, "epochs": 1}


def test_the_seed_alone_draws_a_network():
    made = SASRec(**SMALL)
    made.fit(tiny_retrieval_data())
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, other = made.drawn().state_dict(), made.drawn().state_dict()
    assert torch.equal(torch.rand(3), expected)  # the caller's own randomness stays as it is
    assert all(torch.equal(one[name], other[name]) for name in one)
    again = SASRec(**SMALL, seed=1)
    again.fit(tiny_retrieval_data())
    assert not torch.equal(again.drawn().items, one["items"])


def test_of_a_training_that_breaks_nothing_is_left(monkeypatch):
    made = SASRec(**SMALL)
    made.fit(tiny_retrieval_data())

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mmq._network_model.train", broken)
    with pytest.raises(KeyboardInterrupt):
        made.fit(tiny_retrieval_data())
    with pytest.raises(DataError, match="not fitted yet"):
        _ = made.network

"""A recommender's user tower as a graph: rows of the items of a history -> user vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmq.errors import SettingsError
from mmq.nn.transformer import Layout
from mmq.recommenders import HeterRec, Recommender
from mmq.recommenders._batches import Histories
from mmq.recommenders._network import HistoryNetwork
from mmq.recommenders._sasrec import SASRec


class UsersGraph(nn.Module):
    """User vectors ``(b, d)`` of item rows ``(b, t)`` and how many of them count ``(b,)``.

    Rows are oldest first; those past the length are not read, but have to be rows of items. Every
    history is as long as the model reads at most, and has one item at least.

    Args:
        recommender: SASRec or HeterRec, fitted, on the CPU.

    Raises:
        SettingsError: a model whose scores are no products of user and item vectors.
    """

    def __init__(self, recommender: Recommender[Any]) -> None:
        super().__init__()
        self.network: HistoryNetwork = _network(recommender)
        self.longest = int(recommender.settings.history)
        items = torch.arange(len(recommender.items.item_ids))
        layout = Layout.of(torch.ones(1, dtype=torch.int64))  # not read
        with torch.no_grad():
            self.register_buffer("vectors", self.network.item_vectors(Histories(items, layout)))

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """See the class."""
        users, t = rows.shape[0], self.longest
        places = torch.arange(users * t)
        # every history takes t entries; nobody looks ahead, so what follows its end is not seen
        layout = Layout(places, places % t, users, t, torch.arange(users) * t + lengths - 1)
        flat = rows.flatten()
        vectors = self.vectors[flat]  # type: ignore[index]
        found = self.network.users(Histories(flat, layout), vectors)
        return found.index_select(0, layout.last)


def _network(recommender: Recommender[Any]) -> HistoryNetwork:
    if isinstance(recommender, SASRec):
        return recommender.network
    if not isinstance(recommender, HeterRec):
        raise SettingsError(
            f"a {recommender.kind} recommender has no user vectors; export sasrec or heterrec"
        )
    recommender.answer_vectors(torch.arange(1))  # raises where there are none
    if recommender.settings.token_scope != "item":
        raise SettingsError(
            "tokens that see the whole history make no vectors of items alone; train heterrec "
            "with --set token_scope=item"
        )
    return recommender.network

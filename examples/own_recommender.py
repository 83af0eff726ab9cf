"""A recommender of your own: items that the same users have (Linden et al. 2003).

mmq reproduce table1 --parts retrieval --own examples/own_recommender.py
"""

import numpy as np
import torch

from mmq.model import Fit
from mmq.recommenders import Recommender, evaluate, top_items
from mmq.settings import Settings


class Neighbours(Recommender[Settings]):  # Settings: it has none of its own
    kind, settings_class = "neighbours", Settings

    def _fit(self, data, checkpoint):
        pairs = np.unique(np.stack(data.positives()), axis=1)  # an item counts once for a user
        values = torch.from_numpy(np.bincount(pairs[1])[pairs[1]] ** -0.5).float()
        likes = torch.sparse_coo_tensor(pairs, values, (len(data.train), len(data.item_ids)))
        cosines = torch.sparse.mm(likes.T, likes).coalesce()
        pairs = cosines.indices()
        values = cosines.values() * (pairs[0] != pairs[1])  # no item is its own neighbour
        self.restore({"pairs": pairs.numpy(), "cosines": values.numpy()})
        return Fit(evaluate(self, data.validation).figures)

    def score_block(self, histories):  # (users, items)
        rows, lengths = histories.pack()
        users = np.repeat(np.arange(len(lengths)), lengths)
        steps = np.repeat(lengths.cumsum(), lengths) - np.arange(len(rows)) - 1
        weights = torch.from_numpy(0.8**steps).float()  # the last item of a history tells most
        met = torch.sparse_coo_tensor(np.stack([users, rows]), weights, (len(lengths), self.n))
        return torch.sparse.mm(self.cosines, met.to_dense().to(self.device).T).T

    def search_block(self, histories, k, filters, beams):
        return top_items(self.score_block(histories), k, filters)

    def tensors(self):
        return self.learned

    def restore(self, tensors, folder=None):
        self.learned, self.n = tensors, len(self.items.item_ids)
        cosines = torch.sparse_coo_tensor(tensors["pairs"], tensors["cosines"], (self.n, self.n))
        self.cosines = cosines.to(self.device)


ROWS = {"Neighbours": lambda seed: Neighbours()}  # name of the row -> what makes it from a seed

"""PPNet's network: embeddings, gates that each user and item has of its own, and a tower."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mmq.nn.dropout import dropout
from mmq.nn.pooling import pooled_means
from mmq.nn.soft_items import SoftItems
from mmq.ranking._settings import PPNetSettings

START = 0.02
"""Standard deviation of embeddings at the start."""


class Shown(NamedTuple):
    """A batch of impressions as numbers of embeddings.

    Attributes:
        users: ``(b,)`` int64, 0 for a user that training did not meet.
        items: ``(b,)`` int64 place in the items of the batch's table.
        columns: ``(b, c)`` int64, 0 for a value that training did not meet.
        numbers: ``(b, numeric columns)`` float32, standardised, NaN where missing.
        history: ``(n,)`` int64 places in the table, those of all impressions end to end.
        lengths: ``(b,)`` int64 of each history.
        rows: ``(u,)`` int64 row of each item of the table among the items of the log.
        item_rows: ``(u,)`` int64 number of the embedding of each item of the table, 0 for one that
            training did not meet.
        code_rows: ``(u, length)`` int64 numbers of the embeddings of its codes; None without IDs.
        rates: ``(b, 2 + c)`` rates of user, item and values as log-odds, 0 for what training
            did not meet.
        soft: codes of some items in place of those of the table, ``soft.rows`` as in ``rows``.
    """

    users: Tensor
    items: Tensor
    columns: Tensor
    numbers: Tensor
    history: Tensor
    lengths: Tensor
    rows: Tensor
    item_rows: Tensor
    code_rows: Tensor | None
    rates: Tensor
    soft: SoftItems | None = None


class Sizes(NamedTuple):
    """How many embeddings there are.

    Attributes:
        users: those seen in training, and one for all others.
        items: likewise.
        columns: of each further column, likewise.
        codes: of semantic IDs; 0 without.
        length: codes of an ID.
        numbers: further columns of numbers.
    """

    users: int
    items: int
    columns: tuple[int, ...]
    codes: int
    length: int
    numbers: int = 0


class PPNetNetwork(nn.Module):
    """A tower whose layers are scaled by what is known of user and item (arXiv 2302.01115).

    ``h_l = GateNU_l(gate input) * act(W_l h_(l-1))``, ``GateNU(x) = 2 sigmoid(W2 relu(W1 x))``, the
    last layer ungated. Gates see the tower's input, whose gradient they stop, and embeddings of
    user and item that are theirs alone. Beside the tower stands a wide part, which begins as the
    sum of the rates of user, item and further values as log-odds, and also weighs how well the
    item's embedding fits those of the user and of the history.

    Args:
        settings: how it is built.
        sizes: of its tables.
    """

    def __init__(self, settings: PPNetSettings, sizes: Sizes) -> None:
        super().__init__()
        self.length = sizes.length
        dim, self.settings = settings.embedding_dim, settings
        self.users = _table(sizes.users, 2 * dim)  # for the tower and for the gates, side by side
        self.items = _table(sizes.items, 2 * dim) if settings.item_id else None
        self.columns = nn.ParameterList(_table(size, dim) for size in sizes.columns)
        self.numbers = nn.ParameterList(_table(3, dim) for _ in range(sizes.numbers))
        self.codes = _table(sizes.codes, dim) if sizes.codes else None
        code_width = dim * (1 if settings.codes == "sum" else sizes.length) if sizes.codes else 0
        item_width = (dim if settings.item_id else 0) + code_width
        rates = 2 + len(sizes.columns)
        width = dim * (1 + len(sizes.columns) + sizes.numbers) + 2 * item_width + rates
        gate_input = width + dim * (2 if settings.item_id else 1)
        gate_input += code_width if settings.codes == "gated" else 0
        self.gates = Gates(gate_input, settings.gate_dim, settings.hidden)
        widths = (width, *settings.hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.output = nn.Linear(widths[-1], 1)
        self.wide = nn.Linear(rates + 2, 1)
        nn.init.ones_(self.wide.weight)
        nn.init.zeros_(self.wide.bias)

    def forward(self, shown: Shown, codes: Tensor | None = None) -> Tensor:
        """``(b,)`` logits of being a positive.

        Args:
            shown: the batch.
            codes: ``(b, length, d)`` embeddings of the shown items' codes for the tower, in place
                of those of the table.
        """
        dim = self.settings.embedding_dim
        user, user_prior = embedding(shown.users, self.users).split(dim, 1)
        vectors, priors = self._items(shown)
        item = vectors.index_select(0, shown.items)
        if codes is not None:
            own = dim if self.items is not None else 0
            item = torch.cat([item[:, :own], self._flat(codes)], 1)
        pooled = pooled_means(vectors, shown.history, shown.lengths)
        columns = [
            embedding(shown.columns[:, place], table) for place, table in enumerate(self.columns)
        ]
        numbers = [_line(x, table) for x, table in zip(shown.numbers.T, self.numbers, strict=True)]
        rates = self._rates(shown)
        main = torch.cat([user, item, pooled, *columns, *numbers, rates], 1)
        known = [main.detach(), user_prior]
        if priors is not None:
            known.append(priors.index_select(0, shown.items))
        hidden = dropout(main, self.settings.dropout, self.training)
        for layer, gate in zip(self.layers, self.gates(torch.cat(known, 1)), strict=True):
            hidden = gate * torch.relu(layer(hidden))
        parts = item.unflatten(1, (-1, dim)).sum(1)  # of the item itself and of its codes
        fits = torch.stack([(user * parts).sum(1), (pooled * item).sum(1)], 1)
        logits: Tensor = (self.output(hidden) + self.wide(torch.cat([rates, fits], 1)))[:, 0]
        return logits

    def _rates(self, shown: Shown) -> Tensor:
        """``(b, 2 + c)``; of an item that is known by its codes alone, none of its own."""
        if self.items is not None:
            return shown.rates
        return torch.cat([shown.rates[:, :1], shown.rates[:, 1:2] * 0, shown.rates[:, 2:]], 1)

    def _items(self, shown: Shown) -> tuple[Tensor, Tensor | None]:
        """``(u, item width)`` for the tower, and what the gates know of an item beside it."""
        dim = self.settings.embedding_dim
        vectors, priors = [], []
        if self.items is not None:
            own = embedding(shown.item_rows, self.items)
            vectors.append(own[:, :dim])
            priors.append(own[:, dim:])
        if self.codes is not None and shown.code_rows is not None:
            codes = embedding(shown.code_rows, self.codes)
            if shown.soft is not None:
                codes = shown.soft.replace(codes, shown.rows, shown.soft.look_up(self.codes))
            flat = self._flat(codes)
            vectors.append(flat)
            if self.settings.codes == "gated":
                priors.append(flat)
        return torch.cat(vectors, 1), torch.cat(priors, 1) if priors else None

    def _flat(self, codes: Tensor) -> Tensor:
        """``(u, length, d)`` embeddings of codes as the item's part of the tower's input."""
        return codes.sum(1) if self.settings.codes == "sum" else codes.flatten(1)


class Gates(nn.Module):
    """All gate units of a tower, in two products.

    Args:
        inputs: width of what they see.
        inner: width inside of each.
        widths: of the layers that they scale.
    """

    def __init__(self, inputs: int, inner: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, inner * len(widths))
        self.outer = nn.ModuleList(nn.Linear(inner, width) for width in widths)

    def forward(self, known: Tensor) -> list[Tensor]:
        """``(b, inputs)`` -> a factor ``(b, width)`` from 0 to 2 for each layer."""
        parts = torch.relu(self.inner(known)).chunk(len(self.outer), 1)
        return [2 * torch.sigmoid(each(part)) for each, part in zip(self.outer, parts, strict=True)]


def _line(x: Tensor, table: Tensor) -> Tensor:
    """``(b, d)``: a line through the embeddings of a column of numbers ``(b,)``.

    The rows of ``table`` ``(3, d)`` are its slope, its value at the mean, and what stands for a
    missing number.
    """
    slope, middle, missing = table
    unknown = x.isnan()[:, None]
    known = x.nan_to_num().to(table.dtype)[:, None]
    return torch.where(unknown, missing, middle + known * slope)


def _table(size: int, dim: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(size, dim) * START)

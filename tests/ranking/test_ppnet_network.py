import itertools

import numpy as np
import pytest
import torch
from torch import nn

from mmq.ranking._network import PPNetNetwork, Shown, Sizes
from mmq.ranking._settings import PPNetSettings

DIM, INNER, HIDDEN, TABLE, ROWS = 3, 4, (6, 5), 7, 9
COLUMNS = (3, 2)
CODES, LENGTH = 11, 2


def network_of(codes="concat", item_id=True, ids=True, columns=COLUMNS, dropout=0.0, numbers=0):
    """A network in float64 whose weights are far from the start, where gates are all about 1."""
    settings = PPNetSettings(
        embedding_dim=DIM,
        hidden=HIDDEN,
        gate_dim=INNER,
        codes=codes,
        item_id=item_id,
        dropout=dropout,
    )
    torch.manual_seed(0)
    sizes = Sizes(5, 6, columns, CODES if ids else 0, LENGTH if ids else 0, numbers)
    network = PPNetNetwork(settings, sizes).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network.eval()


def shown_of(ids=True, columns=COLUMNS, numbers=0):
    """A batch with empty histories, long ones, and ones that hold an item twice."""
    rng = np.random.default_rng(0)
    lengths = np.array([0, 3, 1, 0, 5, 2, 1, 1, 0])
    history = rng.integers(0, TABLE, lengths.sum())
    history[1] = history[0]
    values = [rng.integers(0, size, ROWS) for size in columns]
    sizes = np.random.default_rng(1).normal(size=(ROWS, numbers))
    sizes[2::3] = np.nan
    return Shown(
        torch.from_numpy(rng.integers(0, 5, ROWS)),
        torch.from_numpy(rng.integers(0, TABLE, ROWS)),
        torch.from_numpy(np.stack(values, 1) if values else np.empty((ROWS, 0), np.int64)),
        torch.from_numpy(sizes),
        torch.from_numpy(history),
        torch.from_numpy(lengths),
        torch.arange(TABLE),
        torch.from_numpy(rng.integers(0, 6, TABLE)),
        torch.from_numpy(rng.integers(0, CODES, (TABLE, LENGTH))) if ids else None,
        torch.from_numpy(rng.normal(size=(ROWS, 2 + len(columns)))),
    )


def weights_of(network):
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def relu(values):
    return np.where(values > 0, values, 0)


def gate_by_loops(weights, layer, known):
    """``GateNU(x) = 2 sigmoid(W2 relu(W1 x))``."""
    own = slice(layer * INNER, (layer + 1) * INNER)
    inner = relu(weights["gates.inner.weight"][own] @ known + weights["gates.inner.bias"][own])
    outer = weights[f"gates.outer.{layer}.weight"] @ inner
    return 2 * sigmoid(outer + weights[f"gates.outer.{layer}.bias"])


def logits_by_loops(network, shown):
    """One impression after another, as in docs: item, pooled history, gates, tower."""
    weights, settings = weights_of(network), network.settings

    def item_of(place):
        """Its vector for the tower, and what the gates know beside it."""
        vector, prior = [], []
        if settings.item_id:
            own = weights["items"][shown.item_rows[place]]
            vector.append(own[:DIM])
            prior.append(own[DIM:])
        if shown.code_rows is not None:
            codes = [weights["codes"][row] for row in shown.code_rows[place]]
            joined = sum(codes) if settings.codes == "sum" else np.concatenate(codes)
            vector.append(joined)
            if settings.codes == "gated":
                prior.append(joined)
        return np.concatenate(vector), np.concatenate([*prior, []])

    start, found = 0, []
    for row, length in enumerate(shown.lengths.tolist()):
        liked = [item_of(place)[0] for place in shown.history[start : start + length]]
        start += length
        item, item_prior = item_of(shown.items[row])
        pooled = np.mean(liked, axis=0) if liked else np.zeros_like(item)
        user = weights["users"][shown.users[row]]
        further = [
            weights[f"columns.{place}"][shown.columns[row, place]]
            for place in range(shown.columns.shape[1])
        ]
        for place, number in enumerate(shown.numbers[row].tolist()):
            slope, middle, missing = weights[f"numbers.{place}"]
            further.append(missing if np.isnan(number) else middle + number * slope)
        rates = shown.rates[row].numpy().copy()
        rates[1] *= settings.item_id  # by codes alone an item has no rate of its own
        main = np.concatenate([user[:DIM], item, pooled, *further, rates])
        known = np.concatenate([main, user[DIM:], item_prior])
        hidden = main
        for layer in range(len(HIDDEN)):
            inside = weights[f"layers.{layer}.weight"] @ hidden + weights[f"layers.{layer}.bias"]
            hidden = gate_by_loops(weights, layer, known) * relu(inside)
        fits = [sum(user[:DIM] @ part for part in item.reshape(-1, DIM)), pooled @ item]
        wide = weights["wide.weight"][0] @ [*rates, *fits] + weights["wide.bias"][0]
        found.append(weights["output.weight"][0] @ hidden + weights["output.bias"][0] + wide)
    return np.array(found)


OPTIONS = list(itertools.product(["concat", "sum", "gated"], [True, False], [COLUMNS, ()]))


@pytest.mark.parametrize(("codes", "item_id", "columns"), OPTIONS)
def test_logits_by_loops(codes, item_id, columns):
    numbers = len(columns)
    network = network_of(codes, item_id, True, columns, numbers=numbers)
    shown = shown_of(True, columns, numbers)
    expected = logits_by_loops(network, shown)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(network(shown).detach(), expected, rtol=1e-10)


@pytest.mark.parametrize("columns", [COLUMNS, ()])
def test_logits_of_item_ids_alone(columns):
    network, shown = network_of(ids=False, columns=columns), shown_of(False, columns)
    np.testing.assert_allclose(network(shown).detach(), logits_by_loops(network, shown), rtol=1e-10)
    assert network.codes is None


def test_no_columns_no_codes_no_history():
    shown = shown_of(False, ())._replace(
        history=torch.empty(0, dtype=torch.int64), lengths=torch.zeros(ROWS, dtype=torch.int64)
    )
    network = network_of(ids=False, columns=())
    np.testing.assert_allclose(network(shown).detach(), logits_by_loops(network, shown), rtol=1e-10)


# --- what gates see, and what they teach ---


class Held(nn.Module):
    """Gates that stay what they were, whatever they are shown."""

    def __init__(self, factors):
        super().__init__()
        self.factors = factors

    def forward(self, known):
        return self.factors


def slopes(network, shown):
    network.zero_grad()
    network(shown).square().sum().backward()
    return {
        name: None if each.grad is None else each.grad.clone()
        for name, each in network.named_parameters()
    }


@pytest.mark.parametrize(("codes", "item_id"), [("concat", True), ("sum", True), ("gated", True),
                                                ("gated", False), ("concat", False)])  # fmt: skip
def test_gates_teach_the_prior_embeddings_and_no_others(codes, item_id):
    """The tower's input is the same with gates that cannot answer for it."""
    network, shown = network_of(codes, item_id), shown_of()
    seen = []
    network.gates.register_forward_hook(lambda module, given, made: seen.append(made))
    free = slopes(network, shown)
    network.gates = Held([each.detach() for each in seen[0]])
    held = slopes(network, shown)
    main = [("users", slice(None, DIM)), ("columns.0", slice(None)), ("columns.1", slice(None))]
    prior = [("users", slice(DIM, None))]
    if item_id:
        main.append(("items", slice(None, DIM)))
        prior.append(("items", slice(DIM, None)))
    if codes != "gated":
        main.append(("codes", slice(None)))
    for name, part in main:
        torch.testing.assert_close(free[name][:, part], held[name][:, part], rtol=1e-9, atol=0)
        assert free[name][:, part].abs().max() > 0.1
    for name, part in prior:
        assert not held[name][:, part].any()
        met = (shown.users if name == "users" else shown.item_rows[shown.items]).unique()
        assert free[name][met][:, part].abs().amax(1).min() > 0
    if codes == "gated":  # codes are what gates know of an item, too
        assert not torch.allclose(free["codes"], held["codes"])


def test_a_prior_embedding_changes_the_gates_alone():
    network, shown = network_of("gated"), shown_of()
    seen, towers = [], []
    network.gates.register_forward_hook(lambda module, given, made: seen.append(made))
    network.layers[0].register_forward_hook(lambda module, given, made: towers.append(given[0]))
    before = network(shown)
    with torch.no_grad():
        network.users[:, DIM:] += 1
    after = network(shown)
    assert torch.equal(towers[0], towers[1])
    assert not torch.allclose(seen[0][0], seen[1][0])
    assert not torch.allclose(before, after)
    assert all(((each >= 0) & (each <= 2)).all() for made in seen for each in made)


def test_slopes_against_differences():
    """Of the embeddings that only gates see, and of the tower's weights."""
    network, shown = network_of(), shown_of()
    found = slopes(network, shown)
    for name, row, place in (
        ("users", int(shown.users[1]), DIM + 1),
        ("items", int(shown.item_rows[shown.items[1]]), DIM),
        ("layers.0.weight", 2, 1),
        ("gates.inner.weight", 3, 4),
        ("gates.outer.1.weight", 0, 2),
    ):
        weights = network.state_dict()[name]
        values = []
        for step in (1e-6, -2e-6):
            weights[row, place] += step
            values.append(float(network(shown).square().sum().detach()))
        weights[row, place] += 1e-6
        assert found[name][row, place] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4)


def test_dropout_is_for_the_tower_in_training_only():
    network, shown = network_of(dropout=0.5), shown_of()
    seen = []
    network.gates.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    assert torch.equal(network(shown), network(shown))
    network.train()
    torch.manual_seed(1)
    assert not torch.allclose(network(shown), network(shown))
    assert all(torch.equal(each, seen[0]) for each in seen)  # gates see all of it


def test_rows_do_not_depend_on_their_company():
    network, shown = network_of(), shown_of()
    whole = network(shown)
    ends = shown.lengths.cumsum(0)
    for row in range(ROWS):
        start = ends[row] - shown.lengths[row]
        alone = shown._replace(
            users=shown.users[row : row + 1],
            items=shown.items[row : row + 1],
            columns=shown.columns[row : row + 1],
            numbers=shown.numbers[row : row + 1],
            history=shown.history[start : ends[row]],
            lengths=shown.lengths[row : row + 1],
            rates=shown.rates[row : row + 1],
        )
        torch.testing.assert_close(network(alone), whole[row : row + 1])


def test_at_the_start_gates_are_about_one_and_logits_are_summed_rates():
    torch.manual_seed(0)
    network = PPNetNetwork(PPNetSettings(), Sizes(5, 6, COLUMNS, CODES, LENGTH)).eval()
    seen = []
    network.gates.register_forward_hook(lambda module, given, made: seen.extend(made))
    shown = shown_of()
    logits = network(shown._replace(rates=shown.rates.float()))
    assert logits.shape == (ROWS,)
    assert (logits - shown.rates.sum(1)).abs().max() < 1
    assert len(seen) == len(PPNetSettings().hidden)
    assert all((each - 1).abs().max() < 0.3 for each in seen)

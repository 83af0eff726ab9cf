from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mmq.data._sequences import Packed, Sequences
from mmq.decoding import Filters, PrefixIndex, beam_search, exact_search, score_items
from mmq.errors import DataError, FormatError, SettingsError
from mmq.metrics.buckets import bucket_ids
from mmq.nn.sampling import draw_sample
from mmq.recommenders import HeterRec, evaluate
from mmq.recommenders._batches import history_batch, training_batch
from mmq.recommenders._candidates import exclude
from mmq.recommenders._dense import leave_out
from mmq.recommenders._heterrec.heads import AutoregressiveHeads, ParallelHeads
from mmq.recommenders._heterrec.network import HeterRecNetwork
from mmq.recommenders._heterrec.settings import HeterRecSettings
from mmq.semantic_ids import SemanticIDs
from mmq.testing import tiny_ids, tiny_retrieval_data

CPU = torch.device("cpu")
RNG = partial(np.random.default_rng, 0)
SIZES, DIM, USERS = (4, 2, 3), 8, 5
MET = np.arange(30) % 4 > 0
SMALL = {
    "hidden_dim": DIM, "heads": 2, "item_layers": 1, "token_layers": 1, "history": 5,
    "item_token": False,
}  # fmt: skip
HEADS = {"parallel": ParallelHeads, "autoregressive": AutoregressiveHeads}


def heads_of(kind, sizes=SIZES):
    torch.manual_seed(0)
    heads = HEADS[kind](sizes, DIM).double()
    for parameter in heads.parameters():  # far from the start, where all is nearly uniform
        torch.nn.init.normal_(parameter)
    return heads


def users_of(n=USERS):
    return torch.randn(n, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def all_ids(sizes=SIZES):
    """Every combination of codes."""
    grid = torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")
    return torch.stack([each.flatten() for each in grid], dim=1)


def log_probs_by_loops(kind, heads, user, codes):
    """Log-probability of one ID, code after code."""
    total, state = 0.0, user
    for position, code in enumerate(codes):
        if kind == "autoregressive":
            if position:
                state = state + heads.taken[position - 1, codes[position - 1]]
            inner = state @ heads.inner[position] + heads.inner_bias[position, 0]
            read = state + inner * torch.sigmoid(inner)
        else:
            read = state
        logits = [
            float((read @ heads.codes[position, k] + heads.bias[position, 0, k]).detach())
            for k in range(heads.sizes[position])
        ]
        total += logits[code] - np.log(np.sum(np.exp(logits)))
    return total


@pytest.mark.parametrize("sizes", [SIZES, (3, 3), (5,)])
@pytest.mark.parametrize("kind", HEADS)
def test_loss_scores_and_search_agree(kind, sizes):
    heads, users = heads_of(kind, sizes), users_of()
    codes = all_ids(sizes)
    with torch.no_grad():
        index = PrefixIndex.build(codes.numpy().astype(np.int32), sizes)
        found = exact_search(heads.scores(users), index, len(codes))
        loss = heads.loss(users[:1].expand(len(codes), -1), codes)
    expected = [
        [log_probs_by_loops(kind, heads, user, each) for each in codes.tolist()] for user in users
    ]
    scores = torch.empty_like(found.scores).scatter_(1, found.rows, found.scores)
    torch.testing.assert_close(scores, torch.tensor(expected).float(), rtol=1e-4, atol=1e-4)
    # padded codes take no share: all IDs together are certain
    assert np.exp(expected).sum(1) == pytest.approx(np.ones(USERS))
    assert loss.item() == pytest.approx(-np.mean(expected[0]) / len(sizes), rel=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_beams_find_what_the_exact_search_finds(kind):
    heads, users = heads_of(kind), users_of().float()
    heads = heads.float()
    codes = all_ids()[::2]
    index = PrefixIndex.build(codes.numpy().astype(np.int32), SIZES)
    with torch.no_grad():
        exact = exact_search(heads.scores(users), index, 4)
        beams = beam_search(heads.scores(users), index, 4, len(codes))
    assert torch.equal(exact.rows, beams.rows)
    torch.testing.assert_close(exact.scores, beams.scores)


def test_catalogue_loss_is_cross_entropy_over_explicit_sums():
    heads, users = heads_of("parallel"), users_of().requires_grad_()
    codes = torch.from_numpy(tiny_ids().codes).long()
    targets = torch.tensor([0, 3, 29, 3, 11])
    items = heads.catalogue_sums(codes)(heads.classifiers())
    loss = heads.catalogue_loss(users, items, targets)
    logits = torch.stack(
        [
            sum(
                users @ heads.codes[position, code] + heads.bias[position, 0, code]
                for position, code in enumerate(item)
            )
            for item in codes.tolist()
        ],
        dim=1,
    )
    expected = cross_entropy(logits, targets)
    torch.testing.assert_close(loss, expected)
    inputs = (users, heads.codes, heads.bias)
    for one, other in zip(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(one, other)
    # what the search ranks by differs from the logits by a constant of the user
    scores = score_items(heads.scores(users.detach()).log_probs, codes)
    gap = scores - logits.detach()
    torch.testing.assert_close(gap, gap[:, :1].expand(-1, 30), rtol=1e-4, atol=1e-4)


def network_of(ids=None, met=None, **changes):
    torch.manual_seed(0)
    ids = ids or tiny_ids()
    settings = HeterRecSettings(**{**SMALL, **changes})
    met = np.ones(len(ids), bool) if met is None else met
    network = HeterRecNetwork(ids, settings, met).double().eval()
    for table in (network.item_tokens, network.item_head):
        if table is not None:  # they start at zero
            torch.nn.init.normal_(table)
    return network


def sequences_of(*values):
    rows = np.array([row for each in values for row in each])
    return Sequences.of(Packed(rows, np.array([len(each) for each in values])))


def test_items_that_nobody_met_are_no_competitors():
    met = np.arange(30) % 4 > 0
    network, users = network_of(met=met), users_of(3)
    competitors = torch.from_numpy(np.flatnonzero(met))
    targets = torch.tensor([5, 29, 1])
    logits = sum(
        users @ network.heads.codes[n, network.codes[competitors, n]].T
        + network.heads.bias[n, 0, network.codes[competitors, n]]
        for n in range(3)
    )
    places = torch.tensor([competitors.tolist().index(row) for row in targets.tolist()])
    torch.testing.assert_close(network.loss(users, targets[:, None]), cross_entropy(logits, places))


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_items_that_nobody_met_compete_by_their_weight(weight):
    """As if so many of each were among the items that are compared."""
    met = np.arange(30) % 4 > 0
    network, users = network_of(met=met, unmet_weight=weight), users_of(3)
    targets = torch.tensor([5, 29, 1])
    logits = sum(
        users @ network.heads.codes[n, network.codes[:, n]].T
        + network.heads.bias[n, 0, network.codes[:, n]]
        for n in range(3)
    )
    weights = torch.where(torch.from_numpy(met), 1.0, weight).double()
    compared = (logits.exp() * weights).sum(1).log()
    expected = (compared - logits.gather(1, targets[:, None])[:, 0]).mean()
    torch.testing.assert_close(network.loss(users, targets[:, None]), expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"item_token": True},
        {"unmet_weight": 0.1},
        {"item_token": True, "objective": "codes"},
    ],
)
def test_of_a_sample_all_competitors_are_known_by_the_same(options):
    """Drawn to the last, it is the full loss with the full gradient; else its own rows of it."""
    network, users = network_of(met=MET, negatives=3, **options), users_of(3)
    targets = torch.tensor([[5], [29], [1]])
    everybody = draw_sample(network.places[targets].numpy(), network.compared, 30, RNG())
    weights = everybody.log_weights + network.log_weights()
    parameters = [
        each for n, each in network.named_parameters() if n.startswith(("heads", "item_h"))
    ]
    losses = [
        network.loss(users, targets, sample=each)
        for each in (None, everybody._replace(log_weights=weights))
    ]
    torch.testing.assert_close(*losses)
    for one, other in zip(*(torch.autograd.grad(each, parameters) for each in losses), strict=True):
        torch.testing.assert_close(one.to_dense(), other.to_dense())
    sample = network.sample(targets[:, 0].numpy(), RNG())
    assert len(sample.rows) == 3 + 3
    if network.over_catalogue:
        table = network.heads.classifiers()
        whole, some = network.competing(table), network.competing(table, sample)
        torch.testing.assert_close(some, whole[sample.rows])


def test_weights_of_items_that_nobody_met_go_with_a_sample():
    network = network_of(met=MET, negatives=20, unmet_weight=0.1)
    sample = network.sample(np.array([5, 29, 1]), RNG())
    unmet = ~MET[network.competitors[sample.rows]]
    assert unmet.any()
    expected = np.log(27 / 20) + np.log(0.1)
    assert sample.log_weights[torch.from_numpy(unmet)].tolist() == pytest.approx(
        [expected] * unmet.sum()
    )


def test_weights_of_items_need_a_loss_over_items():
    for changes in ({"objective": "codes"}, {"head": "autoregressive"}):
        with pytest.raises(SettingsError, match="unmet_weight weighs items in the loss over"):
            HeterRec(unmet_weight=0.5, **changes)


@pytest.mark.parametrize("options", [{}, {"item_token": True}, {"head": "autoregressive"}])
def test_listwise_steps_predict_the_items_after_the_next(options):
    network = network_of(met=MET, steps=3, objective="codes", **options)
    users, targets = users_of(4), torch.tensor([[1, 2, 3], [2, 3, -1], [3, -1, -1], [5, 6, -1]])
    expected = torch.zeros((), dtype=torch.float64)
    for step in range(3):
        for user, row in zip(users, targets[:, step].tolist(), strict=True):
            if row < 0:
                continue
            state = user[None] if step == 0 else (user + network.steps[step - 1](user))[None]
            loss = network.heads.loss(state, network.codes[[row]])
            if "item_token" in options:  # compared with the other items that training met
                logits = (state @ network.item_head.T)[:, MET]
                place = torch.tensor([MET[:row].sum()])
                loss = (3 * loss + cross_entropy(logits, place)) / 4
            expected = expected + loss
    torch.testing.assert_close(network.loss(users, targets).double(), expected / 12)


def test_a_batch_without_later_items():
    network = network_of(steps=3)
    batch = training_batch(sequences_of([1, 2], [3, 4]), 3, CPU)
    assert network(batch).isfinite()


def twins_of(ids):
    """Two rows that share an ID."""
    return next(
        rows[:2] for row in range(30) if len(rows := ids.rows_of(ids.codes[[row]]).rows) > 1
    )


def test_items_of_one_id_are_one_to_it():
    ids = tiny_ids()
    one, other = twins_of(ids)
    third = next(row for row in range(30) if (ids.codes[row] != ids.codes[one]).all())
    for options in ({}, {"token_scope": "history"}):
        network = network_of(ids, **options)
        users = [
            network.last(history_batch(sequences_of([7, row, 9]), CPU))
            for row in (one, other, third)
        ]
        assert torch.equal(users[0], users[1])
        assert not torch.allclose(users[0], users[2])
    with_tokens = network_of(ids, item_token=True)
    users = [with_tokens.last(history_batch(sequences_of([row]), CPU)) for row in (one, other)]
    assert not torch.allclose(*users)


def test_the_scope_decides_what_a_token_sees():
    batches = [history_batch(sequences_of(each), CPU) for each in ([1, 2, 3], [4, 2, 3], [1, 2, 5])]
    vectors = [network_of().item_vectors(batch) for batch in batches]
    torch.testing.assert_close(vectors[0][1:], vectors[1][1:])
    vectors = [network_of(token_scope="history").item_vectors(batch) for batch in batches]
    assert ((vectors[0] - vectors[1]).abs().amax(1) > 1e-9).all()  # items after it see the first
    torch.testing.assert_close(vectors[0][:2], vectors[2][:2])  # and none sees what comes later


@pytest.mark.parametrize("scope", ["item", "history"])
def test_the_order_of_tokens_counts_by_position_alone(scope):
    network, batch = network_of(token_scope=scope), history_batch(sequences_of([1, 2], [3]), CPU)
    users = network.users(batch)
    alone = network.users(history_batch(sequences_of([3]), CPU))
    torch.testing.assert_close(users[2:], alone)
    order = torch.tensor([2, 0, 1])
    network.codes, network.offsets = network.codes[:, order], network.offsets[order]
    network.positions.data = network.positions.data[order]
    torch.testing.assert_close(network.users(batch), users)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": "codes"},
        {"head": "autoregressive"},
        {"token_scope": "history", "item_token": True, "steps": 2},
    ],
)
def test_gradients_reach_every_parameter(options):
    network = network_of(**options).train()
    windows = sequences_of(*(np.random.default_rng(n).permutation(30)[:6] for n in range(20)))
    network(training_batch(windows, options.get("steps", 1), CPU)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    padded = network.heads.forbidden[:, 0] < 0
    assert not network.heads.codes.grad[padded].any()


def fitted(**changes):
    made = HeterRec(**{**SMALL, "epochs": 2, **changes}, device="cpu")
    made.fit(tiny_retrieval_data())
    return made


@pytest.mark.parametrize("head", HEADS)
def test_scores_are_log_probabilities_and_equal_within_an_id(head):
    made, histories = fitted(head=head), tiny_retrieval_data().test.histories
    scores = made.score_block(histories)
    codes = torch.from_numpy(tiny_ids().codes)
    for row in range(30):
        twins = (codes == codes[row]).all(1)
        assert (scores[:, twins] == scores[:, row : row + 1]).all()
    users = made.user_vectors(histories).double()
    heads = made.network.heads.double()
    for user in range(3):
        expected = [log_probs_by_loops(head, heads, users[user], each) for each in codes.tolist()]
        np.testing.assert_allclose(scores[user], expected, rtol=1e-4)


def test_an_autoregressive_head_ranks_what_its_beams_find_before_all_others():
    made, histories = fitted(head="autoregressive", beams=4), tiny_retrieval_data().test.histories
    everything = fitted(head="autoregressive", beams=1000)
    scores, full = made.score_block(histories), everything.score_block(histories)
    found = scores > -torch.inf
    buckets = torch.from_numpy(bucket_ids(tiny_ids().codes))
    assert [len(buckets[each].unique()) for each in found] == [4] * len(histories)
    assert torch.equal(scores[found], full[found])
    assert (full > -torch.inf).all()
    best = made.search(histories, 4)
    assert torch.equal(scores.gather(1, best.rows), best.scores)


@pytest.mark.parametrize("beams", [2, 5])
def test_items_of_one_id_are_found_together_however_many_there_are(beams):
    """So that figures are expected ones: no order among equal items is better than another."""
    made = HeterRec(**SMALL, epochs=1, head="autoregressive", beams=beams, device="cpu")
    data = tiny_retrieval_data()
    codes = np.arange(30)[:, None] // 10 % [3, 2]  # three IDs of ten items each
    ids = SemanticIDs.build(data.item_ids, codes, [3, 2])
    made.fit(data._replace(ids=ids))
    histories = data.test.histories
    scores = made.score_block(histories)
    found = scores > -torch.inf
    assert (found.sum(1) == 10 * min(beams, 3)).all()
    for each in np.unique(codes, axis=0):
        twins = (codes == each).all(1)
        assert (scores[:, twins] == scores[:, twins][:, :1]).all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("ties", ["popularity", "rank"])
@pytest.mark.parametrize("bonus", [0.0, 0.5])
def test_items_of_one_id_are_ordered_by_ties(head, ties, bonus):
    made, histories = fitted(head=head, ties=ties), tiny_retrieval_data().test.histories
    made.favour_unmet(bonus)
    ids, popularity = tiny_ids(), tiny_retrieval_data().popularity()
    order = -ids.rank if ties == "rank" else popularity
    for beams in (None, 30):
        found, compared = made.search(histories, 30, beams=beams), 0
        for rows in found.rows.tolist():
            for one, other in pairwise(rows):
                alike = (popularity[one] > 0) == (popularity[other] > 0) or not bonus
                if alike and ids.codes[one].tolist() == ids.codes[other].tolist():
                    assert order[one] >= order[other]
                    compared += 1
        assert compared


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_item_tokens_are_part_of_what_is_compared(weight):
    network = network_of(met=MET, item_token=True, unmet_weight=weight)
    users, targets = users_of(3), torch.tensor([5, 29, 1])
    codes = network.heads.codes
    logits = torch.empty(3, 30, dtype=torch.float64)
    for row, code in enumerate(network.codes.tolist()):
        vector = sum(codes[n, k] for n, k in enumerate(code))
        if MET[row]:  # the others have no token
            vector = vector + network.item_head[row]
        bias = sum(network.heads.bias[n, 0, k] for n, k in enumerate(code))
        logits[:, row] = users @ vector + bias
    # up to a constant of the user, it is what the search ranks by
    scores = score_items(network.heads.scores(users).log_probs, network.codes)
    gap = scores + network.item_logits(users) - logits
    torch.testing.assert_close(gap, gap[:, :1].expand(-1, 30), rtol=1e-4, atol=1e-4)
    weights = torch.where(torch.from_numpy(MET), 1.0, weight).double()
    compared = (logits.exp() * weights).sum(1).log()
    expected = (compared - logits.gather(1, targets[:, None])[:, 0]).mean()
    torch.testing.assert_close(network.loss(users, targets[:, None]), expected)


def test_items_that_nobody_met_have_no_token():
    network = network_of(met=MET, item_token=True)
    rows = torch.arange(30)
    for table in (network.item_tokens, network.item_head):
        tokens = network.of_items(table, rows)
        assert torch.equal(tokens[MET], table[MET])
        assert not tokens[~MET].any()
    made = fitted(item_token=True)
    unmet = tiny_retrieval_data().popularity() == 0
    assert unmet.any()
    for table in (made.network.item_tokens, made.network.item_head):
        assert table[~unmet].any(1).all()  # learned
        assert not table[unmet].any()


@pytest.mark.parametrize("head", HEADS)
def test_searches_with_item_tokens_agree(head):
    made, histories = fitted(item_token=True, head=head), tiny_retrieval_data().test.histories
    scores = made.score_block(histories)
    best = scores.sort(dim=1, descending=True, stable=True)
    for beams in (None, 30):
        found = made.search(histories, 7, beams=beams)
        assert torch.equal(found.rows, best.indices[:, :7])
        torch.testing.assert_close(found.scores, best.values[:, :7])
    allowed = torch.arange(30) % 2 == 0
    for beams in (None, 30):
        found = made.search(histories, 20, Filters(allowed), beams)
        assert (found.rows[:, :15] % 2 == 0).all()
        assert (found.rows[:, :15] >= 0).all()
        assert (found.rows[:, 15:] == -1).all()
    few = made.search(histories, 3, beams=5)  # the best of five that codes find
    assert (few.scores.diff(dim=1) <= 0).all()
    torch.testing.assert_close(few.scores, scores.gather(1, few.rows))


@pytest.mark.parametrize("options", [{}, {"item_token": True}, {"head": "autoregressive"}])
def test_items_without_interactions_are_favoured(options):
    made, data = fitted(**options), tiny_retrieval_data()
    unmet = torch.from_numpy(data.popularity() == 0)
    before = made.score_block(data.test.histories)
    made.favour_unmet(2.5)
    after = made.score_block(data.test.histories)
    torch.testing.assert_close(after[:, unmet], before[:, unmet] + 2.5)
    assert torch.equal(after[:, ~unmet], before[:, ~unmet])
    for beams in (None, 30):
        found = made.search(data.test.histories, 9, beams=beams)
        torch.testing.assert_close(found.scores, after.sort(dim=1, descending=True).values[:, :9])
        torch.testing.assert_close(found.scores, after.gather(1, found.rows))
    made.favour_unmet(1000.0)
    assert unmet[made.search(data.test.histories, int(unmet.sum())).rows].all()
    found = evaluate(made, data.test)  # those that share an ID score apart now
    assert found.id_level["recall@10"] >= found.figures["recall@10"]
    made.favour_unmet(0.0)
    assert torch.equal(made.score_block(data.test.histories), before)
    with pytest.raises(SettingsError, match="a bonus of nan for items without interactions is no"):
        made.favour_unmet(float("nan"))


def test_a_table_with_new_items():
    made, old = fitted(item_token=True), tiny_ids()
    histories = tiny_retrieval_data().test.histories
    before = made.score_block(histories)
    recommended = made.recommend([["item-1", "item-2"]], 5)
    order = np.random.default_rng(0).permutation(30)
    names = ["new-a", *(f"item-{row}" for row in order), "new-b"]
    codes = np.concatenate([[[3, 1, 2]], old.codes[order], [old.codes[4]]])
    new = SemanticIDs.build(names, codes, SIZES)
    made.prepare(30)  # what is kept of the old items is not that of the new
    made.with_ids(new)
    rows = np.argsort(order)[histories.rows] + 1
    after = made.score_block(Sequences(rows, histories.first, histories.end))
    torch.testing.assert_close(after[:, 1:-1], before[:, order])
    token = (
        made.user_vectors(Sequences(rows, histories.first, histories.end))
        @ (made.network.item_head[4])
    )  # which a new item with the codes of an old one lacks
    torch.testing.assert_close(after[:, -1] + token, after[:, new.row("item-4")])
    assert token.any()
    assert made.items.popularity.tolist() == [
        0,
        *tiny_retrieval_data().popularity()[order].tolist(),
        0,
    ]
    assert len(made.fitted.item_ids) == 30
    network = made.network
    assert not network.of_items(network.item_tokens, torch.tensor([0, 31])).any()
    own = network.of_items(network.item_tokens, torch.arange(1, 31))
    assert torch.equal(own, network.item_tokens[order])
    assert own.any()
    found = made.recommend([["new-a", "item-2"]], k=32)
    assert sorted(found.item_ids[0]) == sorted(names)
    assert made.recommend([["new-b"]], k=1, allowed=["new-a"]).item_ids == [["new-a"]]
    made.with_ids(old)
    assert made.recommend([["item-1", "item-2"]], 5) == recommended


def test_tables_that_mean_something_else():
    made, old = fitted(), tiny_ids()
    moved = old.codes.copy()
    moved[3:5, 2] = (moved[3:5, 2] + 1) % 3
    for table, expected in (
        (SemanticIDs.build(["a"], [[0, 0, 0]], (4, 2, 4)), r"\[4, 2, 3\] codes, not \[4, 2, 4\]"),
        (SemanticIDs.build(old.item_ids, moved, SIZES), "2 of the 30 items .* another semantic ID"),
        (SemanticIDs.build(["a", "b"], old.codes[:2], SIZES), "none of the model's items"),
    ):
        with pytest.raises(FormatError, match=expected):
            made.with_ids(table)
    assert len(made.items.item_ids) == 30
    assert made.recommend([["item-1"]], 3) == fitted().recommend([["item-1"]], 3)


@pytest.mark.parametrize("options", [{}, {"item_token": True}, {"token_scope": "history"}])
def test_item_vectors_that_are_kept_change_nothing(options):
    made, histories = fitted(**options), tiny_retrieval_data().test.histories
    network = made.network
    network.train(False)  # forgets what the validation of the fit kept
    fresh = made.user_vectors(histories)
    made.prepare(len(histories))
    assert (network.cached is None) == ("token_scope" in options)
    torch.testing.assert_close(made.user_vectors(histories), fresh)
    made.fit(tiny_retrieval_data())  # the same again, whatever was kept before
    torch.testing.assert_close(made.user_vectors(histories), fresh)


@pytest.mark.parametrize("changes", [{"item_token": True}, {"objective": "codes"}])
def test_one_product_finds_what_sums_of_codes_find(changes):
    made, histories = fitted(**changes), tiny_retrieval_data().test.histories
    made.favour_unmet(1.5)
    filters = Filters(torch.arange(30) % 7 > 0, exclude(histories))
    scores = leave_out(made.score_block(histories), filters)
    assert made.network.answers is None
    found = made.search(histories, 8, filters)
    assert made.network.answers is not None
    torch.testing.assert_close(found.scores, scores.topk(8).values)
    torch.testing.assert_close(found.scores, scores.gather(1, found.rows))
    made.favour_unmet(0)
    assert not torch.equal(made.search(histories, 8, filters).scores, found.scores)
    made.network.train(False)  # weights may have changed
    assert made.network.answers is None


def test_the_objective_follows_from_the_heads():
    assert HeterRecSettings().resolved_objective == "catalogue"
    assert HeterRecSettings(head="autoregressive").resolved_objective == "codes"
    assert HeterRecSettings(objective="codes").resolved_objective == "codes"
    with pytest.raises(SettingsError, match="objective 'catalogue' is for parallel heads"):
        HeterRec(head="autoregressive", objective="catalogue")


def test_every_option_does_something():
    plain = fitted().score_block(tiny_retrieval_data().test.histories)
    for changes in (
        {"token_layers": 0},
        {"token_scope": "history"},
        {"head": "autoregressive"},
        {"objective": "codes"},
        {"steps": 2},
        {"item_token": True},
        {"unmet_weight": 0.5},
    ):
        other = fitted(**changes).score_block(tiny_retrieval_data().test.histories)
        assert not torch.allclose(other, plain), changes


@pytest.mark.parametrize("exclude_history", [False, True])
def test_a_service_leaves_out_what_the_model_does_not_know(exclude_history):
    made, ids = fitted(), tiny_ids().item_ids.to_pylist()
    one, two = [ids[1], ids[4]], [ids[7]]
    with pytest.raises(DataError, match="item 'gone' of the history"):
        made.recommend([one, ["gone"]])
    mixed = [["gone", *one], [], two, ["gone"]]
    options = {"k": 4, "exclude_history": exclude_history}
    found = made.recommend(mixed, **options, lenient=True)
    assert found.item_ids[0::2] == made.recommend([one, two], **options).item_ids
    met = made.items.popularity
    popular = [ids[row] for row in np.argsort(-met, kind="stable")[:4]]
    assert found.item_ids[1] == found.item_ids[3] == popular
    few = made.recommend([one, []], allowed=["sold out", *ids[:6]], **options, lenient=True)
    assert set(few.item_ids[0]) | set(few.item_ids[1]) <= set(ids[:6])
    only = made.recommend([[], ["gone"]], **options, lenient=True)
    assert only.item_ids == [popular] * 2


def test_tokens_are_for_catalogues_that_leave_them_room():
    assert HeterRecSettings().resolved_item_token(200_000)
    assert not HeterRecSettings().resolved_item_token(200_001)
    assert HeterRecSettings(item_token=True).resolved_item_token(10**9)
    assert not HeterRecSettings(item_token=False).resolved_item_token(1)


def test_tokens_of_many_items_learn_where_they_are_read(monkeypatch):
    """All competitors are, by the full loss: so they learn what they learn as dense tables."""
    dense = fitted(item_token=True, batch_size=256)
    monkeypatch.setattr("mmq.recommenders._network.MOST_DENSE", 0)
    sparse = fitted(item_token=True, batch_size=256)
    assert sparse.network.sparse
    assert not dense.network.sparse
    for one, other in zip(dense.log, sparse.log, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    heads = [each.tensors()["item_head"] for each in (dense, sparse)]
    np.testing.assert_allclose(*heads, atol=1e-5)

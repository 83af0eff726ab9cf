import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.nn.transformer import Attention, Block, Layout, block_causal_mask

DIM, HEADS = 8, 2
lengths_of = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def block(dropout=0.0):
    torch.manual_seed(1)
    return Block(DIM, HEADS, dropout).double().eval()


def entries_of(lengths, each=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(lengths) * each, DIM, generator=generator, dtype=torch.float64)


@given(lengths_of, st.integers(1, 3))
def test_the_layout_is_that_of_plain_loops(lengths, each):
    layout = Layout.of(torch.tensor(lengths)).expand(each)
    longest = max(lengths) * each
    slots = [b * longest + t for b, n in enumerate(lengths) for t in range(n * each)]
    times = [t for n in lengths for t in range(n * each)]
    assert layout.slots.tolist() == slots
    assert layout.times.tolist() == times
    assert (layout.sequences, layout.longest) == (len(lengths), longest)
    ends = [sum(lengths[: b + 1]) * each - 1 for b in range(len(lengths))]
    assert layout.last.tolist() == ends


@pytest.mark.parametrize(("length", "each"), [(1, 1), (3, 1), (1, 4), (3, 2)])
def test_the_mask_is_that_of_plain_loops(length, each):
    mask = block_causal_mask(length, each, torch.device("cpu"))
    expected = [
        [other // each <= own // each for other in range(length * each)]
        for own in range(length * each)
    ]
    assert mask.tolist() == expected


def attention_by_loops(attention, entries, visible):
    """One sequence ``(t, d)``; ``visible[i]`` are the entries that i sees."""
    bias = attention.bias
    q, k, v = attention.inputs(entries).chunk(3, dim=1)
    width, outputs = DIM // HEADS, []
    for i in range(len(entries)):
        heads = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            logits = torch.stack([q[i, part] @ k[j, part] for j in visible[i]]) * width**-0.5
            if bias is not None:
                logits = logits + torch.stack([bias[head, i - j] for j in visible[i]])
            weights = logits.softmax(0)
            heads.append(sum(w * v[j, part] for w, j in zip(weights, visible[i], strict=True)))
        outputs.append(torch.cat(heads))
    return attention.output(torch.stack(outputs))


@pytest.mark.parametrize("distances", [0, 4, 6])
def test_attention_is_that_of_plain_loops(distances):
    torch.manual_seed(0)
    attention, lengths = Attention(DIM, HEADS, distances).double(), [3, 1, 4]
    if distances:
        torch.nn.init.normal_(attention.bias)
    entries, layout = entries_of(lengths), Layout.of(torch.tensor(lengths))
    packed = attention(entries, layout, None)
    for own, found in zip(entries.split(lengths), packed.split(lengths), strict=True):
        visible = [range(i + 1) for i in range(len(own))]
        torch.testing.assert_close(found, attention_by_loops(attention, own, visible))
    attention.bias = None  # where all are seen, there is no distance
    both_ways = attention(entries[None, :4], None, None)[0]
    expected = attention_by_loops(attention, entries[:4], [range(4)] * 4)
    torch.testing.assert_close(both_ways, expected)


@given(lengths_of, st.integers(1, 3))
def test_a_sequence_in_company_is_as_alone(lengths, each):
    layer, entries = block(), entries_of(lengths, each)
    layout = Layout.of(torch.tensor(lengths)).expand(each)
    mask = block_causal_mask(max(lengths), each, entries.device) if each > 1 else None
    together = layer(entries, layout, mask).split([n * each for n in lengths])
    for n, own, found in zip(
        lengths, entries.split([n * each for n in lengths]), together, strict=True
    ):
        alone = Layout.of(torch.tensor([n])).expand(each)
        mask = block_causal_mask(n, each, entries.device) if each > 1 else None
        torch.testing.assert_close(found, layer(own, alone, mask))


@pytest.mark.parametrize("each", [1, 3])
def test_what_comes_later_changes_nothing_before(each):
    layer, length = block(), 5
    layout = Layout.of(torch.tensor([length, 2])).expand(each)
    mask = block_causal_mask(length, each, torch.device("cpu")) if each > 1 else None
    entries = entries_of([length, 2], each)
    before = layer(entries, layout, mask)
    for place in range(length * each):
        changed = entries.clone()
        changed[place] += torch.arange(DIM)
        moved = (layer(changed, layout, mask) - before).abs().amax(1) > 1e-9
        first = place // each * each
        assert not moved[:first].any()
        assert moved[first : length * each].all()  # its own block, and all that come after
        assert not moved[length * each :].any()  # the other sequence


def test_without_a_layout_everything_is_seen_and_order_does_not_count():
    layer, entries = block(), entries_of([6]).view(2, 3, DIM)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(layer(entries[:, order], None), layer(entries, None)[:, order])
    torch.testing.assert_close(layer(entries[1:], None), layer(entries, None)[1:])


def test_without_a_layout_attention_is_that_of_plain_loops():
    torch.manual_seed(1)
    attention = Attention(DIM, HEADS).double()
    entries = entries_of([8]).view(2, 4, DIM)
    found = attention(entries, None, None)
    for own, seen in zip(entries, found, strict=True):
        expected = attention_by_loops(attention, own, [range(4)] * 4)
        torch.testing.assert_close(seen, expected)


def test_gradients_reach_everything():
    layer, entries = block(), entries_of([3, 2]).requires_grad_()
    layer(entries, Layout.of(torch.tensor([3, 2]))).square().sum().backward()
    assert (entries.grad.abs().sum(1) > 0).all()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_dropout_is_for_training_alone():
    layer, entries = block(0.5), entries_of([4])
    layout = Layout.of(torch.tensor([4]))
    torch.testing.assert_close(layer(entries, layout), block()(entries, layout))
    layer.train()
    torch.manual_seed(0)
    assert not torch.allclose(layer(entries, layout), layer(entries, layout))

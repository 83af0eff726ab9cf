import pytest
import torch

from additive_problems import SIZE, WIDTHS, problem, table
from mmq.tokenizers._additive.network import AdditiveNetwork
from mmq.tokenizers._network import SoftInputs

POSITIONS = {"shared": slice(0, 2), "text": slice(2, 3), "image": slice(3, 4)}
TAU = 0.3


def network(items, sweeps=8):
    made = AdditiveNetwork(
        dict(zip(("text", "image"), WIDTHS, strict=True)), POSITIONS, SIZE, sweeps
    )
    with torch.no_grad():
        made.table.copy_(table())
    made.set_mean_squares(items.x, made.search()(items.x, items.present))
    return made


def soft(made, items, **changes):
    return made.soften(SoftInputs(items.x, items.present, items.x, TAU, **changes))


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_soft_codes_look_up_exactly(missing):
    items = problem(missing=missing)
    made = network(items)
    codes = made.search()(items.x, items.present)
    index = soft(made, items).codes
    assert torch.equal(index.argmax(2), codes)
    assert torch.equal(index.sum(2), torch.ones(codes.shape))
    vectors = torch.einsum("bnk,nkd->bd", index, made.tables())
    torch.testing.assert_close(vectors, made.decode_codes(codes))
    other = (codes + 1) % SIZE
    assert torch.equal(soft(made, items, codes=other).codes.argmax(2), other)


def test_the_gradient_is_that_of_a_softmax_of_what_codewords_take_off_the_error():
    items = problem(20, missing=0.4)
    made = network(items).double()
    items = items._replace(x=items.x.double(), present=items.present.double())
    codes = made.search()(items.x, items.present)
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(20, 4, SIZE, dtype=torch.float64, generator=generator)
    (soft(made, items, codes=codes).codes * wanted).sum().backward()
    found = [made.table.grad.clone(), *(each.grad.clone() for each in made.adapters)]
    made.zero_grad()
    total = 0.0
    own, widths = made.tables(), list(WIDTHS)
    for item in range(20):
        halves = items.x[item].split(widths)
        aim = torch.cat([h + h @ a for h, a in zip(halves, made.adapters, strict=True)])
        seen = items.present[item].repeat_interleave(torch.tensor(widths))
        for n in range(4):
            rest = aim - sum(own[m, codes[item, m]] for m in range(4) if m != n)
            scores = [(rest * t * seen).sum() - 0.5 * (t * t * seen).sum() for t in own[n]]
            logits = torch.stack(scores) / made.mean_squares[n]
            total = total + (torch.softmax(logits / TAU, 0) * wanted[item, n]).sum()
    total.backward()
    for gradient, parameter in zip(found, (made.table, *made.adapters), strict=True):
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(gradient, parameter.grad)


def test_gradients_are_finite_and_keep_to_the_scopes():
    items = problem(missing=0.5)
    present = items.present.clone()
    present[:3] = 0  # nothing at all is known of these
    x = items.x.clone()
    x[:3] = 0
    made = network(items)
    out = soft(made, items._replace(x=x, present=present))
    task = (out.codes * out.logits.detach()).sum()
    (task + sum(loss() for loss in out.losses.values())).backward()
    for parameter in made.parameters():
        assert torch.isfinite(parameter.grad).all()
    assert not made.table.grad[2, :, WIDTHS[0] :].any()
    assert not made.table.grad[3, :, : WIDTHS[0]].any()


def test_adapters_move_the_codes_and_nothing_else():
    items = problem()
    made = network(items)
    before = made.search()(items.x, items.present)
    with torch.no_grad():
        made.adapters[1].copy_(torch.eye(WIDTHS[1]) * -2)
    after = made.search()(items.x, items.present)
    flipped = items.x.clone()
    flipped[:, WIDTHS[0] :] *= -1
    made.adapters[1].data.zero_()
    assert torch.equal(after, made.search()(flipped, items.present))
    assert (after != before).any()


def test_logits_of_found_codes_are_best_where_sweeps_have_settled():
    items = problem(missing=0.4)
    made = network(items, sweeps=20)
    codes = made.search()(items.x, items.present)
    assert torch.equal(made.logits(items.x, items.present).argmax(2), codes)
    assert torch.equal(soft(made, items).logits.argmax(2), codes)
    absent = items.present[:, 1] == 0
    noisy = soft(made, items, noise=1e-6).codes.argmax(2)
    assert torch.equal(noisy[absent][:, 3], codes[absent][:, 3])

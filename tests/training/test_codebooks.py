import pytest
import torch

from mmq.training._codebooks import CodebookState, Members


def members(masked=False):
    vectors = torch.randn(2, 6, 3)
    codes = torch.tensor([[0, 0, 1, 2, 2, 2], [3, 3, 3, 3, 3, 1]])
    mask = torch.tensor([[1.0, 0, 1, 1, 0, 1], [1, 1, 0, 1, 1, 1]]) if masked else None
    return Members(vectors, codes, mask)


@pytest.mark.parametrize("masked", [False, True])
def test_moving_averages_are_the_plain_formula(masked):
    codebooks, own = torch.randn(2, 4, 3), members(masked)
    before = codebooks.clone()
    CodebookState(codebooks, decay=0.9).move(own)
    for level in range(2):
        for k in range(4):
            counts = own.codes[level] == k
            if own.mask is not None:
                counts &= own.mask[level] > 0
            found = own.vectors[level][counts]
            count = 0.9 + 0.1 * len(found)
            expected = (0.9 * before[level, k] + 0.1 * found.sum(0)) / count
            torch.testing.assert_close(codebooks[level, k], expected)


def test_nothing_moves_where_there_are_no_members():
    codebooks = torch.randn(2, 4, 3)
    state, before = CodebookState(codebooks), codebooks.clone()
    state.move(Members(torch.empty(2, 0, 3), torch.empty(2, 0).long()))
    assert torch.equal(codebooks, before)
    assert bool((state.counts == 1).all())


def test_idle_codewords_restart_at_points_of_their_position():
    codebooks = torch.zeros(2, 4, 3)
    state = CodebookState(codebooks)
    state.count(members())  # position 0 leaves code 3 idle, position 1 codes 0 and 2
    state.end_epoch()
    assert state.has_idle
    points = [torch.full((5, 3), 7.0), torch.full((1, 3), 8.0)]
    assert state.revive(points) == 2  # the second position has but one point
    assert codebooks[0].tolist() == [[0.0] * 3] * 3 + [[7.0] * 3]
    assert codebooks[1].tolist() == [[8.0] * 3] + [[0.0] * 3] * 3
    assert torch.equal(state.sums, codebooks)
    state.begin_epoch()
    state.count(Members(torch.zeros(2, 4, 3), torch.arange(4).expand(2, 4)))
    assert not state.has_idle


def test_its_state_is_all_it_knows_between_epochs():
    one, other = CodebookState(torch.randn(2, 4, 3)), CodebookState(torch.randn(2, 4, 3))
    one.move(members())
    other.load_state({name: tensor.clone() for name, tensor in one.state().items()})
    own = members()
    one.move(own)
    other.move(own)
    assert torch.equal(one.codebooks, other.codebooks)

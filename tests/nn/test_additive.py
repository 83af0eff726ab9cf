import pytest
import torch

from mmq.nn import additive
from mmq.nn.additive import Refiner

B, N, K, D = 40, 3, 5, 7
WIDTHS = [4, 3]


def case(seed=0):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(N, K, D, generator=generator)
    x = torch.randn(B, D, generator=generator)
    codes = torch.randint(K, (B, N), generator=generator)
    return torch.randn(D, generator=generator), table, x, codes


def error(offset, table, x, seen, codes):
    output = offset + sum(table[n, codes[n]] for n in range(N))
    return float((((x - output) * seen) ** 2).sum())


def plain(offset, table, x, seen, codes, sweeps):
    """One item: every position in turn takes the code of the least error."""
    codes = codes.tolist()
    for _ in range(sweeps):
        for n in range(N):
            codes[n] = min(
                range(K),
                key=lambda k: error(offset, table, x, seen, [*codes[:n], k, *codes[n + 1 :]]),
            )
    return codes


@pytest.mark.parametrize("most", [0, additive.GRAM])
def test_each_code_is_the_best_given_the_others(most, monkeypatch):
    monkeypatch.setattr(additive, "GRAM", most)
    offset, table, x, codes = case()
    present = torch.ones(B, 2)
    present[:10, 1] = 0
    seen = present.repeat_interleave(torch.tensor(WIDTHS), dim=1)
    x = x * seen
    for sweeps in (1, 3):
        refined, _ = Refiner(offset, table, WIDTHS, sweeps)(x, present, codes, codes >= 0)
        for row in range(B):
            expected = plain(offset, table, x[row], seen[row], codes[row], sweeps)
            assert refined[row].tolist() == expected


def test_codes_that_may_not_move_stay_and_the_scores_explain_the_rest():
    offset, table, x, codes = case(1)
    movable = torch.ones(B, N, dtype=torch.bool)
    movable[:, 1] = False
    refined, scores = Refiner(offset, table, WIDTHS, 4)(x, torch.ones(B, 2), codes, movable)
    assert torch.equal(refined[:, 1], codes[:, 1])
    assert not torch.equal(refined[:, 0], codes[:, 0])
    for n in (0, 2):
        assert torch.equal(scores[:, n].argmax(1), refined[:, n])


def test_what_is_missing_counts_for_nothing():
    offset, table, x, codes = case(2)
    present = torch.tensor([[1.0, 0.0]]).expand(B, 2)
    refine = Refiner(offset, table, WIDTHS, 2)
    first, _ = refine(x, present, codes, codes >= 0)
    loud = x.clone()
    loud[:, 4:] = 100.0
    second, _ = refine(loud, present, codes, codes >= 0)
    assert torch.equal(first, second)


def found_plainly(offset, table, x, seen, movable, sweeps):
    """One item without codes: each position in the light of those before it, then sweeps."""
    codes = [int(table[n].square().sum(1).argmin()) for n in range(N)]
    for n in range(N):
        if movable[n]:
            before = [
                offset + sum(table[m, codes[m]] for m in range(n)) + table[n, k] for k in range(K)
            ]
            codes[n] = min(range(K), key=lambda k: float((((x - before[k]) * seen) ** 2).sum()))
    for _ in range(sweeps):
        for n in range(N):
            if movable[n]:
                tried = [[*codes[:n], k, *codes[n + 1 :]] for k in range(K)]
                codes = min(tried, key=lambda own: error(offset, table, x, seen, own))
    return codes


@pytest.mark.parametrize("most", [0, additive.GRAM])
@pytest.mark.parametrize("sweeps", [0, 2])
def test_codes_are_found_from_nothing(most, sweeps, monkeypatch):
    monkeypatch.setattr(additive, "GRAM", most)
    offset, table, x, _ = case(3)
    present = torch.ones(B, 2)
    present[:10, 1] = 0
    seen = present.repeat_interleave(torch.tensor(WIDTHS), dim=1)
    movable = torch.ones(B, N, dtype=torch.bool)
    movable[:5, 2] = False
    found, scores = Refiner(offset, table, WIDTHS, sweeps)(x * seen, present, None, movable)
    for row in range(B):
        expected = found_plainly(offset, table, x[row] * seen[row], seen[row], movable[row], sweeps)
        assert found[row].tolist() == expected
    assert torch.equal(scores.argmax(2)[movable], found[movable])

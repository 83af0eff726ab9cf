import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.errors import SettingsError
from mmq.testing import TokenizerConformance, tiny_catalogue
from mmq.tokenizers._kmeans import euclidean_kmeans
from mmq.tokenizers._opq import OPQ, OPQSettings, OPQTokenizer

SMALL = {"codebook_size": 12, "iterations": 10}


class TestAligned(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, length=5))


class TestSeparated(TokenizerConformance):
    tokenizer = staticmethod(lambda: OPQTokenizer(**SMALL, fusion="separated", length=4))


def vectors(items=400, width=12, seed=0):
    """Gaussians of falling variance, turned."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(77).normal(size=(width, width)))
    points = rng.normal(size=(items, width)) * 0.8 ** np.arange(width)
    return torch.from_numpy((points @ turn + 3).astype("f4"))


def fitted(width=12, parts=3, **settings):
    made = OPQ(width, parts, OPQSettings(codebook_size=8, **settings))
    log = made.fit(vectors(width=width), np.random.default_rng(0), lambda *a, **k: None)
    return made, log


def error(made, x):
    return float((made.decode(made.encode(x)) - x).square().sum(1).mean())


@given(st.integers(1, 13), st.integers(1, 5))
def test_any_width_and_parts_keep_all_of_a_vector(width, parts):
    made, _ = fitted(width, parts, rotations=2)
    torch.testing.assert_close(made.rotation @ made.rotation.T, torch.eye(width), atol=1e-4, rtol=0)
    x = vectors(50, width, seed=1)
    y = (x - made.mean) @ made.rotation
    torch.testing.assert_close(y @ made.rotation.T + made.mean, x, atol=1e-4, rtol=1e-4)
    assert made.encode(x).shape == (50, parts)
    assert torch.isfinite(made.logits(x)).all()


def test_codes_are_nearest_codewords_of_every_part():
    made, _ = fitted()
    x = vectors(30, seed=1)
    y = ((x - made.mean) @ made.rotation).view(30, 3, 4)
    logits, codes = made.logits(x), made.encode(x)
    for item in range(30):
        for part in range(3):
            gaps = (made.codebooks[part] - y[item, part]).square().sum(1)
            assert int(codes[item, part]) == int(gaps.argmin())
            torch.testing.assert_close(logits[item, part], -0.5 * gaps, atol=1e-4, rtol=1e-4)


def test_turns_lower_the_error_and_the_log_says_so():
    made, log = fitted(rotations=8)
    distortions = [line["distortion"] for line in log]
    assert distortions == sorted(distortions, reverse=True)
    assert error(made, vectors()) == pytest.approx(distortions[-1], rel=2e-3)


def test_it_beats_product_quantisation_that_does_not_turn():
    made, _ = fitted()
    x = vectors()
    plain = OPQ(12, 3, OPQSettings(codebook_size=8))
    plain.mean.copy_(x.mean(0))
    generator, y = np.random.default_rng(0), x - x.mean(0)
    for part, own in enumerate(y.split(4, dim=1)):
        plain.codebooks[part] = euclidean_kmeans(own, 8, generator, 25)
    assert error(made, x) < 0.9 * error(plain, x)


def test_hidden_axes_of_two_values_are_found():
    """Eight turned axes of plus or minus a length: four parts of K = 4 lose next to nothing."""
    rng = np.random.default_rng(5)
    lengths = np.array([4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5])
    flat = lengths * rng.choice([-1.0, 1.0], size=(2000, 8))
    turn, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    x = torch.from_numpy((flat @ turn).astype("f4"))
    made = OPQ(8, 4, OPQSettings(codebook_size=4))
    made.fit(x.clone(), np.random.default_rng(0), lambda *a, **k: None)
    assert error(made, x) < 0.02 * float(x.var(0).sum())


def test_shrinkage_trades_fit_for_new_items():
    made = {s: fitted(width=32, parts=2, shrinkage=s)[0] for s in (0.0, 10.0)}
    seen = vectors(width=32)
    assert error(made[10.0], seen) > error(made[0.0], seen)
    for one in made.values():
        assert torch.equal(one.mean, made[0.0].mean)


def test_ids_are_not_ordered():
    tokenizer = OPQTokenizer(**SMALL)
    tokenizer.fit(tiny_catalogue(widths={"text": 12}))
    assert tokenizer.ordered is False


def test_bad_settings():
    with pytest.raises(SettingsError, match="rotations"):
        OPQTokenizer(rotations=0)

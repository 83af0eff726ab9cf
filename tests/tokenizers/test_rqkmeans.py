import numpy as np
import pytest
import torch

from mmq.data import Catalogue
from mmq.errors import DataError, SettingsError
from mmq.testing import TokenizerConformance, tiny_catalogue
from mmq.tokenizers._rqkmeans import RQKMeans, RQKMeansSettings, RQKMeansTokenizer

SMALL = {"codebook_size": 12, "iterations": 10}


class TestAligned(TokenizerConformance):
    tokenizer = staticmethod(lambda: RQKMeansTokenizer(**SMALL))


class TestSeparatedAndRefined(TokenizerConformance):
    tokenizer = staticmethod(
        lambda: RQKMeansTokenizer(**SMALL, fusion="separated", length=4, refinement=2)
    )


def vectors(items=300, width=10, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(items, width)).astype("f4"))


def quantiser(levels=3, width=10, **settings):
    made = RQKMeans(width, levels, RQKMeansSettings(codebook_size=8, **settings))
    log = made.fit(vectors(width=width), np.random.default_rng(0), lambda *a, **k: None)
    return made, log


def error(made, x):
    return float((made.decode(made.encode(x)) - x).square().sum(1).mean())


def test_greedy_codes_are_those_of_plain_loops():
    made, _ = quantiser()
    for x, codes in zip(vectors(20, seed=1), made.encode(vectors(20, seed=1)), strict=True):
        residual = x
        for codebook, code in zip(made.codebooks, codes, strict=True):
            gaps = [float((residual - c).square().sum()) for c in codebook]
            assert int(code) == int(np.argmin(gaps))
            residual = residual - codebook[code]
        torch.testing.assert_close(made.decode(codes[None])[0], x - residual)


def test_logits_are_half_squared_distances_to_what_is_left():
    made, _ = quantiser()
    x = vectors(40, seed=2)
    logits, codes = made.logits(x), made.encode(x)
    assert torch.equal(logits.argmax(2), codes)
    last = made.codebooks[-1]
    others = made.decode(codes) - last[codes[:, -1]]
    lengths = 0.5 * (x - others).square().sum(1, keepdim=True)  # the same for all codewords
    expected = lengths - 0.5 * torch.cdist(x - others, last).square()
    torch.testing.assert_close(logits[:, -1], expected, atol=1e-4, rtol=1e-4)


def test_every_level_lowers_the_error_and_the_log_says_so():
    made, log = quantiser(levels=4)
    distortions = [line["distortion"] for line in log]
    assert distortions == sorted(distortions, reverse=True)
    assert [line["level"] for line in log] == [1, 2, 3, 4]
    assert error(made, vectors()) == pytest.approx(distortions[-1], rel=1e-4)


@pytest.mark.parametrize("fusion", ["aligned", "separated"])
def test_refinement_lowers_the_error_of_what_new_items_have(fusion):
    """Not of every item: the codewords are fitted anew too (that of every item under the same
    codewords: tests/nn/test_additive.py).
    """
    errors = []
    for refinement in (0, 3):
        tokenizer = RQKMeansTokenizer(**SMALL, fusion=fusion, length=4, refinement=refinement)
        tokenizer.fit(tiny_catalogue(missing=0.3))
        errors.append(tokenizer.measure(tiny_catalogue(missing=0.3, seed=1)).fvu_codes)
    assert errors[1] < 0.98 * errors[0]


def test_shrinkage_trades_fit_for_new_items():
    kept = {s: quantiser(levels=4, width=32, shrinkage=s)[0] for s in (0.0, 20.0)}
    seen, unseen = vectors(width=32), vectors(2000, width=32, seed=9)
    assert error(kept[20.0], seen) > error(kept[0.0], seen)
    assert error(kept[20.0], unseen) < error(kept[0.0], unseen)


def test_ordered_is_true_of_one_quantiser_alone():
    text = tiny_catalogue(widths={"text": 12})
    for fusion, catalogue, ordered in (
        ("aligned", tiny_catalogue(), True),
        ("separated", text, True),
        ("separated", tiny_catalogue(), False),
    ):
        tokenizer = RQKMeansTokenizer(**SMALL, fusion=fusion)
        tokenizer.fit(catalogue)
        assert tokenizer.ordered is ordered


def test_items_without_a_modality_have_no_say_in_its_codebooks():
    catalogue = tiny_catalogue(missing=0.4)
    tokenizer = RQKMeansTokenizer(**SMALL, fusion="separated")
    tokenizer.fit(catalogue)
    has = np.flatnonzero(catalogue.present["image"])
    alone = RQKMeansTokenizer(**SMALL, fusion="separated")
    alone.fit(catalogue.take(has))
    own, other = (t.network.quantisers[1].codebooks for t in (tokenizer, alone))
    assert torch.equal(own, other)


def test_a_large_catalogue_is_learned_from_a_sample(monkeypatch):
    catalogue = tiny_catalogue(items=600)
    with monkeypatch.context() as patch:
        patch.setattr("mmq.tokenizers._fitting.ITEMS_PER_CODEWORD", 25)
        result = RQKMeansTokenizer(**SMALL).fit(catalogue)
    whole = RQKMeansTokenizer(**SMALL).fit(catalogue)
    assert result.l_recon["fit"] < 1.5 * whole.l_recon["fit"]
    assert result.items_per_second > 0


def test_balanced_levels_use_their_codes_more_evenly():
    """In the mean over seeds; on a catalogue so tiny a single one may go the other way."""
    catalogue = tiny_catalogue(items=400)
    entropies = {
        flag: [
            RQKMeansTokenizer(**SMALL, balanced=flag, length=3, seed=seed).fit(catalogue).entropy
            for seed in range(6)
        ]
        for flag in (False, True)
    }
    assert np.mean(entropies[True]) > np.mean(entropies[False]) + 0.005


def test_a_modality_that_too_few_items_have():
    catalogue = tiny_catalogue()
    image = catalogue.embeddings["image"].copy()
    image[5:] = np.nan
    few = Catalogue.build(
        catalogue.item_ids, {"text": catalogue.embeddings["text"], "image": image}
    )
    with pytest.raises(DataError, match="5 items to fit on have a image embedding, fewer than"):
        RQKMeansTokenizer(**SMALL, fusion="separated").fit(few)


def test_bad_settings():
    with pytest.raises(SettingsError, match="start"):
        RQKMeansTokenizer(start="farthest")
    with pytest.raises(SettingsError, match="shrinkage"):
        RQKMeansTokenizer(shrinkage=-1)

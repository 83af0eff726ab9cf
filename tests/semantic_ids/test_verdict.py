from __future__ import annotations

import math

import numpy as np
import pytest

from mmq.metrics.rate_distortion import least_error
from mmq.semantic_ids import (
    CatalogueFacts,
    FitRef,
    Lacking,
    SemanticIDs,
    TokenizerRef,
    Verdict,
    build_manifest,
    inspect_ids,
    verdict,
)

ITEMS = 4000


def spread(items: int = ITEMS, length: int = 6, size: int = 100) -> np.ndarray:
    return np.random.default_rng(1).integers(0, size, (items, length))


def judge(
    codes: np.ndarray,
    size: int = 100,
    facts: CatalogueFacts | None = None,
    lacking: Lacking | None = None,
) -> Verdict:
    ids = SemanticIDs.build(np.arange(len(codes)), codes, [size] * codes.shape[1])
    return verdict(inspect_ids(ids, facts, lacking))


def without(codes: np.ndarray, missing: np.ndarray, positions: tuple[int, ...]) -> Lacking:
    return Lacking.of(codes, {"image": missing, "text": ~(missing | True)}, {"image": positions})


def fitted(
    fit: float,
    held_out: float | None = None,
    bound: float | None = None,
    noise: float | None = None,
) -> Verdict:
    """Of a table in good use, whose tokenizer was fitted so."""
    figures: dict[str, float | None] = {"fit": fit}
    if held_out is not None:
        figures["held_out"] = held_out
    noted = TokenizerRef(
        name="mmq", fingerprint="f", fit=FitRef(fvu_codes=figures, bound=bound, noise=noise)
    )
    manifest = build_manifest([100] * 6, tokenizer=noted)
    return verdict(inspect_ids(SemanticIDs.build(range(ITEMS), spread(), [100] * 6, manifest)))


def test_good() -> None:
    grade, (sentence,) = judge(spread())
    assert grade == "good"
    assert "100% of the codes are in use (entropy 4.59 of 4.61 nats)" in sentence
    assert "100% of the 4,000 items have a semantic ID of their own" in sentence
    assert sentence.endswith("what the codes keep of the embeddings is not known to the table")


def test_good_on_new_items_too() -> None:
    grade, (sentence,) = fitted(0.57, 0.696)
    assert grade == "good"
    assert sentence.endswith(
        "the codes keep 30.4% of the variance of items that the fit did not see (of those it saw "
        "43%); nothing to mend"
    )


def test_without_a_hold_out_nothing_is_said_to_be_mended() -> None:
    grade, (sentence,) = fitted(0.57)
    assert grade == "good"
    assert "nothing to mend" not in sentence
    assert sentence.endswith("is not known: fit with --hold-out 0.1 to measure it")


def test_noise_that_was_learned_by_heart_is_poor() -> None:
    """The figures of README's example, which is pure noise."""
    grade, (sentence,) = fitted(0.67, 0.87, bound=0.67, noise=0.69)
    assert grade == "poor"
    assert sentence == (
        "learned by heart, keeps little, no better than noise: the codes keep 13% of the "
        "variance of items that the fit did not see, and 33% of those it saw (ideal codes of as "
        "many bits keep 33% of Gaussian embeddings of this spread and 31% of pure noise); fit on "
        "more items, with fewer or smaller codebooks, or with more noise (smoothing, or "
        "input_noise where it was learned by gradient); if that does not help, look at the "
        "embeddings: random ones look like this"
    )


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ("smoothing", "smaller codebooks, or with more noise (setting smoothing); if"),
        ("input_noise", "smaller codebooks, or with more noise (setting input_noise); if"),
        (None, "fit on more items, or with fewer or smaller codebooks; if"),
    ],
)
def test_the_remedy_is_a_setting_that_there_is(setting: str | None, remedy: str) -> None:
    figures: dict[str, float | None] = {"fit": 0.67, "held_out": 0.87}
    fit = FitRef(fvu_codes=figures, bound=0.67, noise=0.69, noise_setting=setting)
    manifest = build_manifest(
        [100] * 6, tokenizer=TokenizerRef(name="mmq", fingerprint="f", fit=fit)
    )
    table = SemanticIDs.build(range(ITEMS), spread(), [100] * 6, manifest)
    (sentence,) = verdict(inspect_ids(table)).sentences
    assert remedy in sentence


@pytest.mark.parametrize(
    ("held_out", "bound", "noise", "grade"),
    [
        (0.75, None, 0.70, "poor"),  # noise of many bits: much is kept, and no more than of noise
        (0.75, None, 0.90, "good"),
        (0.45, None, 0.27, "good"),  # little is left, and nothing tells what it is of
        (0.45, 0.26, 0.27, "poor"),  # it spreads as evenly as noise
        (0.45, 0.15, 0.27, "good"),
        (0.20, 0.26, 0.27, "good"),  # even, but codes found more in it
    ],
)
def test_no_better_than_noise(
    held_out: float, bound: float | None, noise: float, grade: str
) -> None:
    found, (sentence,) = fitted(held_out - 0.02, held_out, bound, noise)
    assert found == grade
    assert sentence.startswith("good" if grade == "good" else "no better than noise: the codes kee")


def test_a_bad_fit_of_embeddings_with_structure_is_not_laid_at_their_door() -> None:
    grade, (sentence,) = fitted(0.68, 0.7, 0.3, 0.4)
    assert grade == "poor"
    assert sentence.startswith("no better than noise: the codes keep 30% of the variance of items")
    assert sentence.endswith("with another kind of tokenizer")


def test_learned_by_heart_is_fair_where_new_items_are_kept_all_the_same() -> None:
    grade, (sentence,) = fitted(0.1, 0.7)
    assert grade == "fair"
    assert sentence.startswith("learned by heart: the codes keep 30% of the variance of items that")
    assert sentence.endswith("or input_noise where it was learned by gradient)")


def test_codes_that_keep_little_of_anything_are_fair() -> None:
    grade, (sentence,) = fitted(0.85, 0.86)
    assert grade == "fair"
    assert sentence.startswith("keeps little: the codes keep 14% of the variance of items")


def test_worse_than_the_mean_keeps_nothing() -> None:
    grade, (sentence,) = fitted(0.9, 1.2)
    assert grade == "poor"
    assert sentence.startswith("learned by heart, keeps little: ")
    assert "the codes keep nothing of the variance of items that the fit did not see" in sentence


@pytest.mark.parametrize(
    ("fit", "held_out", "width"), [(0.648, 0.775, 512), (0.55, 0.7575, 640), (0.395, 0.426, 384)]
)
def test_real_catalogues_pass(fit: float, held_out: float, width: int) -> None:
    """The weakest committed figures of ML-1M at six codes and with cast, and those of Beauty."""
    noise = least_error(np.ones(width), (6 if width < 640 else 8) * math.log2(100))
    assert fitted(fit, held_out, noise=noise).grade == "good"


def test_collapsed_to_few_codes() -> None:
    codes = spread()
    codes[:, 2] %= 12
    grade, (sentence,) = judge(codes)
    assert grade == "poor"
    assert sentence.startswith("collapsed: codebook 3 uses 12 of 100 codes; fit again")


def test_collapsed_to_uneven_codes() -> None:
    codes = spread()
    codes[200 : ITEMS * 19 // 20, 0] = 7
    codes[:200, 0] = np.arange(200) % 100
    grade, (sentence,) = judge(codes)
    assert grade == "poor"
    assert "codebook 1 uses 100 of 100 codes, so unevenly that they are worth 2" in sentence


def test_several_collapsed_codebooks_are_one_sentence() -> None:
    codes = spread()
    codes[:, [1, 4]] %= 30
    (sentence,) = judge(codes).sentences
    assert "codebook 2 uses 30 of 100 codes; codebook 5 uses 30 of 100 codes" in sentence


def test_constant() -> None:
    codes = spread()
    codes[:, 5] = 42
    grade, (sentence,) = judge(codes)
    assert grade == "poor"
    assert sentence.startswith("constant: codebook 6 of 6 gives all items 1 of its 100 codes")


@pytest.mark.parametrize(("shared", "grade"), [(0.04, "fair"), (0.3, "poor")])
def test_too_small(shared: float, grade: str) -> None:
    codes = spread()
    count = int(shared * ITEMS) // 2
    codes[:count] = codes[count : 2 * count]
    found, (sentence,) = judge(codes)
    assert found == grade
    share = f"{100 * shared:.0f}% of items collide ({2 * count:,} of 4,000; the fullest"
    assert sentence.startswith(f"too small for this catalogue: {share}")
    assert "more positions or larger codebooks, or encode with --collisions move" in sentence


def test_moved_tables_are_not_told_to_move() -> None:
    codes = spread()
    codes[:100] = codes[100:200]
    manifest = build_manifest([100] * 6, collisions="move")
    ids = SemanticIDs.build(np.arange(ITEMS), codes, [100] * 6, manifest)
    (sentence,) = verdict(inspect_ids(ids)).sentences
    assert sentence.endswith("fit with more positions or larger codebooks")


def test_fewer_ids_than_items() -> None:
    grade, (sentence,) = judge(spread(length=2, size=10), size=10)
    assert grade == "poor"
    assert "only 100 semantic IDs exist for 4,000 items; fit with more" in sentence


def test_collisions_after_a_collapse_are_put_down_to_it() -> None:
    codes = spread(length=2)
    codes[:, 0] %= 12
    grade, sentences = judge(codes)
    assert grade == "poor"
    assert sentences[0].startswith("collapsed: codebook 1")
    assert "of items collide" in sentences[1]
    assert "mend the codebooks above first" in sentences[1]
    assert "too small" not in sentences[1]


def test_too_large() -> None:
    grade, (sentence,) = judge(spread(500, size=3000), size=3000)
    assert grade == "fair"
    assert sentence.startswith("too large: codebooks of 3,000 codes for 500 items")


def test_as_many_codes_as_items_is_no_collapse() -> None:
    assert judge(spread(100)).grade == "good"


def test_duplicates_explain_collisions() -> None:
    codes = spread()
    codes[:200] = codes[200:400]
    grade, (sentence,) = judge(codes, facts=CatalogueFacts(duplicates=400))
    assert grade == "fair"
    assert sentence.startswith("10% of items have the embeddings of another item, which explains")
    assert "explains 100% of the collisions; no tokenizer can tell them apart" in sentence


def test_duplicates_that_were_moved_apart_explain_nothing() -> None:
    (sentence,) = judge(spread(), facts=CatalogueFacts(duplicates=400)).sentences
    assert "explains" not in sentence


def test_duplicates_do_not_excuse_other_collisions() -> None:
    codes = spread()
    codes[:200] = codes[200:400]
    grade, sentences = judge(codes, facts=CatalogueFacts(duplicates=300))
    assert grade == "fair"
    assert "2.5% of items collide (100 of 4,000" in sentences[0]
    assert "explains 75% of the collisions" in sentences[1]


def test_a_missing_modality_is_no_collapse() -> None:
    codes, lack = spread(), np.arange(ITEMS) < 0.8 * ITEMS
    codes[lack, 4:] = 17
    assert judge(codes).grade == "poor"
    grade, sentences = judge(codes, lacking=without(codes, lack, (4, 5)))
    assert grade == "good"
    assert sentences[1].startswith(
        "80% of items have no image and are left out of the figures of its codes (codebook 5, 6 of"
    )


def test_a_missing_modality_excuses_no_collapse_among_the_others() -> None:
    codes, lack = spread(), np.arange(ITEMS) < 800
    codes[:800, 5] = 17
    codes[800:, 5] %= 10
    grade, sentences = judge(codes, lacking=without(codes, lack, (5,)))
    assert grade == "poor"
    assert sentences[0].startswith("collapsed: codebook 6 uses 10 of 100 codes for the items that")
    assert sentences[1].startswith("20% of items have no image")


def test_a_constant_codebook_of_the_items_that_have_its_modality() -> None:
    codes, lack = spread(), np.arange(ITEMS) < 800
    codes[:, 5] = 17
    codes[800:, 5] = 3
    sentence = judge(codes, lacking=without(codes, lack, (5,))).sentences[0]
    assert sentence.startswith("constant: codebook 6 of 6 gives all items that have its modality 1")


def test_codes_of_items_without_the_modality_hide_no_collapse() -> None:
    """They are spread well, and say nothing."""
    codes, lack = spread(), np.arange(ITEMS) < 3000
    codes[3000:, 5] %= 10
    assert judge(codes).grade == "good"
    grade, sentences = judge(codes, lacking=without(codes, lack, (5,)))
    assert grade == "poor"
    assert "codebook 6 uses 10 of 100 codes for the items that have its modality" in sentences[0]


def test_a_modality_that_all_items_lack_is_no_collapse() -> None:
    codes = spread()
    codes[:, 5] = 17
    grade, sentences = judge(codes, lacking=without(codes, np.ones(ITEMS, bool), (5,)))
    assert grade == "good"
    assert sentences[1].startswith("100% of items have no image")


def test_every_finding_has_a_figure_and_the_poor_come_first() -> None:
    codes = spread(50, length=2)
    codes[:, 0] = 0
    codes[:20, 1] = 3
    grade, sentences = judge(codes)
    assert grade == "poor"
    assert sentences[0].startswith("constant")
    assert sentences[-1].startswith("too large")
    assert all(any(letter.isdigit() for letter in sentence) for sentence in sentences)

from __future__ import annotations

import numpy as np
import pytest

from mmq.semantic_ids import (
    CatalogueFacts,
    SemanticIDs,
    Verdict,
    build_manifest,
    inspect_ids,
    verdict,
)

ITEMS = 4000


def spread(items: int = ITEMS, length: int = 6, size: int = 100) -> np.ndarray:
    return np.random.default_rng(1).integers(0, size, (items, length))


def judge(codes: np.ndarray, size: int = 100, facts: CatalogueFacts | None = None) -> Verdict:
    ids = SemanticIDs.build(np.arange(len(codes)), codes, [size] * codes.shape[1])
    return verdict(inspect_ids(ids, facts))


def test_good() -> None:
    grade, (sentence,) = judge(spread())
    assert grade == "good"
    assert "100% of the codes are in use (entropy 4.59 of 4.61 nats)" in sentence
    assert "100% of the 4,000 items have a semantic ID of their own" in sentence


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
    codes = spread()
    lacking = int(0.8 * ITEMS)
    codes[:lacking, 4:] = 17
    facts = CatalogueFacts(missing={"image": 0.8, "text": 0.0}, positions={"image": (4, 5)})
    assert judge(codes).grade == "poor"
    grade, sentences = judge(codes, facts=facts)
    assert grade == "good"
    assert sentences[1].startswith(
        "80% of items have no image and share its codes (codebook 5, 6 of 6)"
    )


def test_a_missing_modality_excuses_no_collapse_among_the_others() -> None:
    codes = spread()
    codes[:800, 5] = 17
    codes[800:, 5] %= 10
    facts = CatalogueFacts(missing={"image": 0.2}, positions={"image": (5,)})
    grade, sentences = judge(codes, facts=facts)
    assert grade == "poor"
    assert sentences[0].startswith("collapsed: codebook 6 uses 10 of 100 codes for the items that")
    assert sentences[1].startswith("20% of items have no image")


def test_a_constant_codebook_of_the_items_that_have_its_modality() -> None:
    codes = spread()
    codes[:, 5] = 17
    codes[800:, 5] = 3
    facts = CatalogueFacts(missing={"image": 0.2}, positions={"image": (5,)})
    assert judge(codes).sentences[0].startswith("collapsed: codebook 6 uses 2 of 100 codes; fit")
    codes[:, 5] = 17
    sentence = judge(codes, facts=facts).sentences[0]
    assert sentence.startswith("constant: codebook 6 of 6 gives all items that have its modality 1")


def test_missing_items_with_codes_of_their_own_excuse_nothing() -> None:
    facts = CatalogueFacts(missing={"image": 0.2}, positions={"image": (5,)})
    codes = spread()
    assert judge(codes, facts=facts) == judge(codes)
    codes[:, 5] %= 12
    assert judge(codes, facts=facts) == judge(codes)


def test_a_modality_that_all_items_lack_is_no_collapse() -> None:
    codes = spread()
    codes[:, 5] = 17
    facts = CatalogueFacts(missing={"image": 1.0}, positions={"image": (5,)})
    grade, sentences = judge(codes, facts=facts)
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

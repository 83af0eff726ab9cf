from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mmq.errors import DataError, SettingsError
from mmq.metrics.ranking import UserAUCs, auc, popularity_strata, user_aucs

CLOSE = float(np.nextafter(0.5, 1))
SCORES = st.sampled_from([0.5, CLOSE, -0.0, 0.0, 5e-324, -5e-324, 1e300, -1e300, -0.5, -CLOSE, 2.0])
HUGE = 2**62
USERS = st.sampled_from([0, 1, 2, 7, 2**40])
ROWS = st.lists(st.tuples(USERS, st.integers(0, 1), SCORES), min_size=1, max_size=40)


def columns(rows: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    users, labels, scores = zip(*rows, strict=True)
    return np.array(users, np.int64), np.array(labels, np.int8), np.array(scores, np.float64)


def plain_auc(labels: list[int], scores: list[float]) -> float:
    """Every row of label 1 against every row of label 0."""
    won = pairs = 0.0
    for high in (score for label, score in zip(labels, scores, strict=True) if label):
        for low in (score for label, score in zip(labels, scores, strict=True) if not label):
            won += (high > low) + (high == low) / 2
            pairs += 1
    return won / pairs


def plain_user_aucs(rows: list[tuple[int, int, float]]) -> dict[int, tuple[float, int, int]]:
    """User -> AUC, rows and rows of label 1, of those with both labels."""
    found = {}
    for user in sorted({row[0] for row in rows}):
        labels = [row[1] for row in rows if row[0] == user]
        scores = [row[2] for row in rows if row[0] == user]
        if set(labels) == {0, 1}:
            found[user] = plain_auc(labels, scores), len(labels), sum(labels)
    return found


def has_both(rows: list[tuple[int, int, float]]) -> bool:
    return {row[1] for row in rows} == {0, 1}


def has_eligible(rows: list[tuple[int, int, float]]) -> bool:
    return bool(plain_user_aucs(rows))


def assert_same(one: UserAUCs, other: UserAUCs) -> None:
    for name, first, second in zip(UserAUCs._fields, one, other, strict=True):
        np.testing.assert_array_equal(first, second, err_msg=name)


@given(ROWS.filter(has_both))
def test_auc_counts_pairs(rows) -> None:
    _, labels, scores = columns(rows)
    assert auc(labels, scores) == plain_auc(labels.tolist(), scores.tolist())


@given(ROWS.filter(has_eligible))
def test_user_aucs_are_the_auc_of_each_users_rows(rows) -> None:
    users, labels, scores = columns(rows)
    found, plain = user_aucs(users, labels, scores), plain_user_aucs(rows)
    assert found.users.tolist() == list(plain)
    each = zip(found.auc.tolist(), found.rows.tolist(), found.positives.tolist(), strict=True)
    assert list(each) == list(plain.values())
    for user, value in zip(found.users, found.auc, strict=True):
        assert value == auc(labels[users == user], scores[users == user])
    assert (found.all_users, found.all_rows) == (len(set(users.tolist())), len(rows))
    assert found.eligible_users == len(plain)
    assert found.eligible_rows == sum(count for _, count, _ in plain.values())
    gauc = sum(value * count for value, count, _ in plain.values()) / found.eligible_rows
    assert found.weighted == pytest.approx(gauc, abs=1e-12)
    mean = sum(value for value, _, _ in plain.values()) / len(plain)
    assert found.unweighted == pytest.approx(mean, abs=1e-12)


@given(ROWS.filter(has_eligible), st.data())
def test_only_the_order_of_scores_counts(rows, data) -> None:
    users, labels, scores = columns(rows)
    distinct, place = np.unique(scores, return_inverse=True)
    steps = st.floats(-1e9, 1e9, allow_subnormal=False)
    size = len(distinct)
    other = np.sort(data.draw(st.lists(steps, min_size=size, max_size=size, unique=True)))[place]
    assert auc(labels, other) == auc(labels, scores)
    assert_same(user_aucs(users, labels, other), user_aucs(users, labels, scores))


@given(ROWS.filter(has_eligible), st.randoms())
def test_the_order_of_rows_does_not_count(rows, random) -> None:
    shuffled = random.sample(rows, len(rows))
    assert auc(*columns(rows)[1:]) == auc(*columns(shuffled)[1:])
    assert_same(user_aucs(*columns(rows)), user_aucs(*columns(shuffled)))


@given(ROWS.filter(has_eligible))
def test_turned_scores_or_labels_turn_the_auc(rows) -> None:
    users, labels, scores = columns(rows)
    assert auc(labels, -scores) == pytest.approx(1 - auc(labels, scores), abs=1e-15)
    turned = user_aucs(users, 1 - labels, scores)
    np.testing.assert_allclose(turned.auc, 1 - user_aucs(users, labels, scores).auc, atol=1e-15)


@pytest.mark.parametrize("decimals", [1, 3, 17])
def test_auc_agrees_with_scikit_learn(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    users, labels = rng.integers(0, 30, 2000), rng.integers(0, 2, 2000)
    scores = np.round(rng.normal(size=2000) + labels, decimals)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    found = user_aucs(users, labels, scores)
    expected = [roc_auc_score(labels[users == u], scores[users == u]) for u in found.users]
    np.testing.assert_allclose(found.auc, expected, atol=1e-9)
    assert found.eligible_users == 30


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, np.uint64, bool]
)
def test_scores_of_any_type(dtype) -> None:
    rng = np.random.default_rng(3)
    users, labels = rng.integers(0, 40, 900), rng.integers(0, 2, 900)
    whole = rng.integers(0, 100, 900)
    scores = whole - 50 if np.dtype(dtype).kind in "if" else whole > 50 if dtype is bool else whole
    assert auc(labels, scores.astype(dtype)) == auc(labels, scores)
    typed = user_aucs(users, labels == 1, scores.astype(dtype))
    assert_same(typed, user_aucs(users, labels, scores.astype(np.float64)))


@given(ROWS.filter(has_eligible))
def test_float32_takes_its_bits_for_ranks(rows) -> None:
    users, labels, scores = columns([(u, y, max(min(s, 1e38), -1e38)) for u, y, s in rows])
    narrow = scores.astype(np.float32)
    wide = user_aucs(users, labels, narrow.astype(np.float64))
    assert_same(user_aucs(users, labels, narrow), wide)


def test_whole_numbers_are_not_rounded_to_floats() -> None:
    scores = np.array([2**53 + 1, 2**53, -(2**63), 2**63 - 1])
    labels = np.array([1, 0, 0, 1])
    assert auc(labels, scores) == 1
    assert user_aucs(np.zeros(4, int), labels, scores).auc.tolist() == [1]


@pytest.mark.parametrize("scale", [1.0, 1e-13])
def test_scores_that_differ_in_their_last_bits_only(scale: float) -> None:
    """More rows and closer scores than fit into 64 bits beside each other."""
    rng = np.random.default_rng(8)
    scores = 1 + scale * rng.random(30_000)
    scores[:3] = -1e300, 1e300, 0  # they take the bits that would tell the others apart
    labels = rng.integers(0, 2, 30_000)
    found = user_aucs(np.zeros(30_000, int), labels, scores)
    assert found.auc[0] == auc(labels, scores)
    assert found.auc[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)


@pytest.mark.parametrize(
    "names",
    [
        np.array([HUGE + 5, HUGE - 9, 2**63 - 1, 3, 0]),
        np.array([-5, -(2**63), 2**63 - 1, 0, 4]),
        np.array([-(2**63), -7, -1, -2, -(2**40)]),
        np.array([2**64 - 1, 2**63, 2**63 - 1, 0, 1], np.uint64),
        np.array([-128, 127, 0, 3, -1], np.int8),
        np.array([255, 0, 7, 130, 1], np.uint8),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_users_of_any_number(names: np.ndarray, dtype) -> None:
    """Users whose numbers leave no room for the score are numbered anew."""
    rng = np.random.default_rng(1)
    who, labels = rng.integers(0, 5, 500), rng.integers(0, 2, 500)
    scores = rng.integers(-9, 9, 500).astype(dtype)
    found = user_aucs(names[who], labels, scores)
    assert found.users.dtype == names.dtype
    assert found.users.tolist() == sorted(names.tolist())
    plain = user_aucs(np.argsort(np.argsort(names))[who], labels, scores)
    assert_same(found._replace(users=plain.users), plain)


def test_a_user_with_one_label_changes_only_the_counts() -> None:
    users, labels = np.array([4, 4, 9, 9, 9]), np.array([0, 1, 0, 1, 1])
    scores = np.array([0.3, 0.2, 0.1, 0.1, 0.7])
    found = user_aucs(users, labels, scores)
    more = user_aucs(
        np.append(users, [5, 5, 12]), np.append(labels, [1, 1, 0]), np.append(scores, [9, 0, 3])
    )
    assert_same(more._replace(all_users=2, all_rows=5), found)
    assert (more.all_users, more.all_rows, more.eligible_users, more.eligible_rows) == (4, 8, 2, 5)
    assert found.auc.tolist() == [0, 0.75]
    assert (found.weighted, found.unweighted) == (0.45, 0.375)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.floats(0.01, 0.5))
def test_strata_have_their_size_and_order(counts, share: float) -> None:
    strata = popularity_strata(np.array(counts), share)
    # by hand: the best is the one of most impressions, among equals the one of smaller number
    best_first = sorted(range(len(counts)), key=lambda item: (-counts[item], item))
    size = min(round(share * len(counts)), len(counts) // 2)
    expected = [0] * len(counts)
    for item in best_first[:size]:
        expected[item] = 1
    for item in best_first[len(counts) - size :]:
        expected[item] = -1
    assert strata.tolist() == expected
    assert strata.dtype == np.int8


def test_strata_of_special_shops() -> None:
    assert popularity_strata(np.array([3])).tolist() == [0]
    assert popularity_strata(np.zeros(8)).tolist() == [1, 1, 0, 0, 0, 0, -1, -1]
    assert popularity_strata(np.array([1, 9, 5]), 0.5).tolist() == [-1, 1, 0]
    assert popularity_strata(np.array([0, 200, 7], np.uint8), 0.5).tolist() == [-1, 1, 0]
    assert np.bincount(popularity_strata(np.arange(1000)) + 1).tolist() == [250, 500, 250]


USER = np.zeros(4, int)
LABELS = np.array([0, 1, 1, 0])
GOOD = np.array([0.1, 0.2, 0.3, 0.4])
NAN, ENDLESS = np.array([0.1, np.nan, np.nan, 1]), np.array([0.1, 0.3, 1, -np.inf])
AUC_ERRORS = [
    (LABELS, GOOD[:3], "the columns have different lengths: {.*'label': 4, 'score': 3}; give each"),
    (LABELS[:, None], GOOD, r"the label column has the shape \(4, 1\); give one value a row"),
    (LABELS, GOOD[:, None], r"the score column has the shape \(4, 1\); give one value a row"),
    (np.array([0, 1, 2, -1]), GOOD, r"row 2 has the label 2 \(2 such rows\); labels are 1 for"),
    (np.array([0, np.nan, 1, 0]), GOOD, r"row 1 has the label nan \(1 such rows\)"),
    (np.array(["0", "1", "1", "0"]), GOOD, r"row 0 has the label '0' \(4 such rows\)"),
    (LABELS, NAN, r"row 1 has the score nan \(2 such rows\); train the model again"),
    (LABELS, ENDLESS, r"row 3 has the score -inf \(1 such rows\)"),
    (LABELS, GOOD.astype(str), "the score column is of type <U32; give numbers"),
]


@pytest.mark.parametrize(("labels", "scores", "sentence"), AUC_ERRORS)
def test_rows_that_cannot_be_ranked(labels, scores, sentence: str) -> None:
    with pytest.raises(DataError, match=f"^{sentence}"):
        auc(labels, scores)
    with pytest.raises(DataError, match=f"^{sentence}"):
        user_aucs(USER, labels, scores)


@pytest.mark.parametrize("label", [0, 1])
def test_one_label_alone(label: int) -> None:
    labels, scores = np.full(500, label), np.arange(500.0)
    with pytest.raises(DataError, match=f"^all 500 rows have the label {label}, so there is nothi"):
        auc(labels, scores)
    found = user_aucs(np.arange(500) // 10, labels, scores)
    assert (found.eligible_users, found.all_users, found.all_rows) == (0, 50, 500)


def test_no_user_with_both_labels() -> None:
    users, labels = np.array([1, 1, 2, 2, 3]), np.array([0, 0, 1, 1, 0])
    found = user_aucs(users, labels, np.arange(5))
    assert (found.eligible_users, found.eligible_rows, found.all_users) == (0, 0, 3)
    assert np.isnan([found.weighted, found.unweighted]).all()


def test_no_rows() -> None:
    none = np.zeros(0)
    for evaluate in (auc, lambda *given: user_aucs(none, *given)):
        with pytest.raises(DataError, match=r"^there are no rows to evaluate; give at least one$"):
            evaluate(none, none)


def test_users_that_are_not_numbers() -> None:
    with pytest.raises(DataError, match=r"^the user column is of type <U1; give whole numbers"):
        user_aucs(np.array(list("aabb")), LABELS, GOOD)
    with pytest.raises(DataError, match=r"^the user column is of type float64; give whole numbers"):
        user_aucs(USER.astype(float), LABELS, GOOD)
    with pytest.raises(DataError, match=r"different lengths: {'user': 3, 'label': 4, 'score': 4}"):
        user_aucs(USER[:3], LABELS, GOOD)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        (np.zeros(0), r"the counts have the shape \(0,\); give one count an item, of at least one"),
        (np.zeros((4, 2)), r"the counts have the shape \(4, 2\); give one count an item"),
        (np.array([3, -2, -1]), "item 1 has -2 training impressions; counts start from 0"),
        (np.array([3, np.nan]), "item 1 has nan training impressions"),
    ],
)
def test_counts_that_make_no_strata(counts: np.ndarray, sentence: str) -> None:
    with pytest.raises(DataError, match=f"^{sentence}"):
        popularity_strata(counts)


@pytest.mark.parametrize("share", [0, -0.1, 0.51, 25, float("nan")])
def test_shares_that_make_no_strata(share: float) -> None:
    with pytest.raises(SettingsError, match=f"^the share {share} of items should be above 0 and"):
        popularity_strata(np.arange(9), share)

"""Means, deviations, tests and verdicts against plain loops, on cells made up here."""

import math
import statistics

import numpy as np
import pytest

from experiments.cells import CELLS, USERS, folder_name
from experiments.paper.claims import FAILS, HOLDS, OPEN, verdicts
from experiments.paper.figures import FIGURES
from experiments.paper.plan import (
    JOINTLY,
    LONGER,
    PARTS,
    QUANTISATION,
    RANKING,
    RETRIEVAL,
    Row,
    cell_of,
    make_plan,
)
from experiments.paper.tables import Found, table
from experiments.paper.variants import baselines

TWO = ("text", "image")
OURS, OTHER = Row("MMQ"), Row("MS-OPQ")
LEARNED = Row("MMQ by gradient")


class Made:
    """Cells with the figures that a test gives them."""

    def __init__(self, folder, *artefacts, seeds=(0, 1, 2)):
        self.plan = make_plan(artefacts, TWO, seeds, PARTS)
        self.found = Found(self.plan, seeds, {}, folder, TWO)

    def put(self, row, part, seed, users=None, **figures):
        """A finished cell; ``users`` are its arrays of single users."""
        cell = cell_of(row, part, seed)
        self.found.cells[cell.name] = {"figures": figures}
        if users is not None:
            folder = self.found.out / CELLS / folder_name(cell)
            folder.mkdir(parents=True)
            np.savez_compressed(folder / USERS, **users)

    def seeds(self, row, part, key, values):
        """A cell a seed, with one figure."""
        for seed, value in enumerate(values):
            self.put(row, part, seed, **{key: value})


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path, "table1")


def t_test(differences):
    """p of a paired test by plain loops: Student's density summed in small steps."""
    n = len(differences)
    mean = sum(differences) / n
    variance = sum((each - mean) ** 2 for each in differences) / (n - 1)
    t, freedom = abs(mean) / math.sqrt(variance / n), n - 1
    front = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    front /= math.sqrt(freedom * math.pi)
    steps, within = 20_000, 0.0
    for step in range(steps):
        x = (step + 0.5) * t / steps
        within += front * (1 + x * x / freedom) ** (-(freedom + 1) / 2) * t / steps
    return 1 - 2 * within


# --- figures ---


def test_mean_and_deviation_over_the_seeds(made):
    values = [0.25, 0.5, 1.0]
    made.seeds(OURS, QUANTISATION, "entropy", values)
    figure = made.found.figure(OURS, QUANTISATION, "entropy")
    assert figure["values"] == values
    assert figure["mean"] == pytest.approx(statistics.mean(values))
    assert figure["sd"] == pytest.approx(statistics.stdev(values))


def test_a_seed_whose_cell_is_missing_or_has_no_such_number_is_left_out(made):
    made.put(OURS, QUANTISATION, 0, entropy=2.0)
    made.put(OURS, QUANTISATION, 2, entropy=4.0, fvu=None, odd=math.nan)
    assert made.found.figure(OURS, QUANTISATION, "entropy")["values"] == [2.0, 4.0]
    for nothing in ("fvu", "odd", "unknown"):
        assert made.found.figure(OURS, QUANTISATION, nothing) is None


def test_one_seed_has_no_deviation_and_no_test(made):
    for row in (OURS, OTHER):
        made.put(row, QUANTISATION, 1, entropy=2.0)
    figure = made.found.figure(OURS, QUANTISATION, "entropy")
    assert figure == {"mean": 2.0, "sd": None, "values": [2.0]}
    assert made.found.compare(OURS, OTHER, QUANTISATION, "entropy") is None


# --- tests ---


def test_tokenizers_are_compared_over_the_seeds_that_both_have(made):
    own, theirs = [1.0, 1.5, 1.1], [1.4, 2.1, 1.2]
    made.seeds(OURS, QUANTISATION, "l_recon fit", own)
    made.seeds(OTHER, QUANTISATION, "l_recon fit", theirs)
    test = made.found.compare(OURS, OTHER, QUANTISATION, "l_recon fit")
    differences = [a - b for a, b in zip(own, theirs, strict=True)]
    assert test.p_value == pytest.approx(t_test(differences), abs=1e-6)
    assert (test.difference, test.pairs) == (pytest.approx(statistics.mean(differences)), 3)
    del made.found.cells["quantisation, MS-OPQ, seed 1"]
    p = made.found.compare(OURS, OTHER, QUANTISATION, "l_recon fit").p_value
    assert p == pytest.approx(t_test([1.0 - 1.4, 1.1 - 1.2]), abs=1e-6)


def error(values):
    return statistics.stdev(values) / math.sqrt(len(values))


def per_user(made, key, people):
    """Cells of two rows whose users differ by seed; the differences by user, and by seed."""
    rng, users, seeds = np.random.default_rng(5), {}, []
    for seed, names in enumerate(people):
        figures = []
        for row in (OURS, OTHER):
            order = rng.permutation(len(names))  # rows need not know users in one order
            values = rng.random(len(names))
            stored = {"user": np.array(names)[order], key: values[order]}
            made.put(row, RETRIEVAL, seed, stored)
            figures.append(dict(zip(names, values, strict=True)))
        for name in names:
            users.setdefault(name, []).append(figures[0][name] - figures[1][name])
        seeds.append(statistics.mean(figures[0][name] - figures[1][name] for name in names))
    return [statistics.mean(each) for each in users.values()], seeds


@pytest.mark.parametrize("key", ["recall@10", "ndcg@10"])
def test_models_are_compared_over_users_and_seeds(made, key):
    people = [["ann", "bob", "eve", "tom", "zoe"], ["bob", "eve", "kim", "tom"], ["ann", "kim"]]
    users, seeds = per_user(made, key, people)
    assert len(users) == 6
    found = made.found.compare(OURS, OTHER, RETRIEVAL, key)
    assert (found.difference, found.pairs) == (pytest.approx(statistics.mean(users)), 6)
    both = math.hypot(error(users), error(seeds))
    assert found.t == pytest.approx(statistics.mean(users) / both)


def test_a_seed_that_only_one_row_has_tells_nothing(made):
    people = [["ann", "bob", "eve", "tom"], ["bob", "eve", "kim"], ["bob", "joe"]]
    per_user(made, "recall@10", people)
    whole = made.found.compare(OURS, OTHER, RETRIEVAL, "recall@10")
    del made.found.cells["retrieval, MS-OPQ, seed 2"]
    without = made.found.compare(OURS, OTHER, RETRIEVAL, "recall@10")
    assert without.pairs == whole.pairs - 1  # joe is gone
    del made.found.cells["retrieval, MS-OPQ, seed 1"]
    assert made.found.compare(OURS, OTHER, RETRIEVAL, "recall@10") is None  # one seed tells nothing


def test_rankers_are_compared_by_the_auc_of_each_user(made):
    rng = np.random.default_rng(0)
    values = rng.random((2, 2, 9))
    for row, of_seeds in zip((OURS, OTHER), values, strict=True):
        for seed, each in enumerate(of_seeds):
            made.put(row, RANKING, seed, {"auc": each}, auc=0.1 * seed)
    found = made.found.compare(OURS, OTHER, RANKING, "gauc_unweighted")
    assert found.difference == pytest.approx((values[0] - values[1]).mean())
    assert found.pairs == 9
    assert made.found.compare(OURS, OTHER, RANKING, "auc").pairs == 2  # of seeds


# --- tables and panels ---


def test_a_table_shows_what_its_rows_have(made):
    made.seeds(OURS, QUANTISATION, "entropy", [1.0, 1.1, 1.3])
    made.seeds(OTHER, QUANTISATION, "entropy", [0.5, 0.8, 0.7])
    made.put(Row("Popularity"), RETRIEVAL, 0, **{"recall@5": 0.125})
    found = table(made.found, "table1", "Title", "About")
    assert [column["key"] for column in found["columns"]] == ["entropy", "recall@5"]
    assert [column["better"] for column in found["columns"]] == ["higher", "higher"]
    rows = {row["name"]: row for row in found["rows"]}
    assert len(rows) == len(made.plan.rows["table1"])
    assert rows["Popularity"]["figures"]["entropy"] is None
    assert rows["Popularity"]["figures"]["recall@5"]["mean"] == 0.125
    assert rows["MMQ"]["against"] == {}
    p = t_test([0.5 - 1.0, 0.8 - 1.1, 0.7 - 1.3])
    against = rows["MS-OPQ"]["against"]
    assert list(against) == ["entropy"]
    test = against["entropy"]
    assert test["p"] == pytest.approx(p, abs=1e-6)
    assert test["difference"] == pytest.approx((0.5 + 0.8 + 0.7 - 1.0 - 1.1 - 1.3) / 3)
    assert test["low"] < test["difference"] < test["high"]


def test_panels_have_a_value_for_every_point_that_was_made(tmp_path):
    made = Made(tmp_path, "figure4", "figure5", "figure6")
    made.seeds(OURS, QUANTISATION, "l_recon fit", [1.0, 2.0, 3.0])
    made.seeds(Row("MMQ, 9 codes"), QUANTISATION, "l_recon fit", [0.5, 0.5, 0.5])
    made.seeds(Row("MMQ, 6 specific experts"), QUANTISATION, "l_recon fit", [4.0, 4.0, 4.0])
    made.seeds(Row("MS-RQ-VAE", JOINTLY), RETRIEVAL, "recall@10", [0.25])

    def panels(name):
        return {each["title"]: each for each in FIGURES[name](made.found) if each}

    longer = panels("figure5")
    assert list(longer) == ["L_recon"]
    assert longer["L_recon"]["x"] == [6, 9, 12, 15, 18]
    series = longer["L_recon"]["series"]
    assert [each["values"] for each in series] == [[2.0, 0.5, None, None, None]]
    assert series[0]["sd"] == [1.0, 0.0, None, None, None]
    alone, shared = panels("figure6")["L_recon"]["series"]
    assert (alone["values"], shared["values"]) == ([None, 4.0, None, None], [None, 2.0, None, None])
    (stage,) = panels("figure4")["R@10"]["series"]
    assert (stage["name"], stage["values"]) == ("fine-tuned", [None, 0.25, None])


def test_figure3_divides_models_by_the_popularity_of_what_was_asked_for(tmp_path):
    made = Made(tmp_path, "figure3")
    made.seeds(OURS, RETRIEVAL, "tail recall@10", [0.5])
    made.seeds(OURS, RANKING, "head auc", [0.75])
    panels = {each["title"]: each for each in FIGURES["figure3"](made.found) if each}
    assert set(panels) == {"R@10, unpopular items", "AUC, popular items"}
    found = panels["AUC, popular items"]
    assert "SASRec" not in found["x"]  # it does not rank
    assert found["series"][0]["values"][found["x"].index("MMQ")] == 0.75


# --- claims ---

BETTER = "MMQ by gradient is better than w/o cosine: L_recon"
LOW, HIGH, MIXED = [1.0, 1.01, 0.99], [2.0, 2.02, 1.97], [0.2, 3.0, 1.0]


def claims(made):
    return {each["claim"]: each for each in verdicts(made.found)}


@pytest.mark.parametrize(
    ("own", "theirs", "verdict"),
    [
        (LOW, HIGH, HOLDS),  # a lower error is better
        (HIGH, LOW, FAILS),
        (LOW, MIXED, OPEN),
        (LOW, LOW, OPEN),
        (LOW[:1], HIGH[:1], OPEN),  # one seed tells nothing
    ],
    ids=["holds", "does not hold", "noise", "the same", "one seed"],
)
def test_a_claim_is_judged_by_its_figures(tmp_path, own, theirs, verdict):
    made = Made(tmp_path, "table2")
    made.seeds(LEARNED, QUANTISATION, "l_recon fit", own)
    made.seeds(Row("MMQ by gradient w/o cosine"), QUANTISATION, "l_recon fit", theirs)
    found = claims(made)
    assert {each["verdict"] for name, each in found.items() if name != BETTER} == {OPEN}
    assert (found[BETTER]["of"], found[BETTER]["verdict"]) == ("table2", verdict)
    for values in (own, theirs):
        assert f"{statistics.mean(values):.3f}" in found[BETTER]["why"]
    assert ("one seed" in found[BETTER]["why"]) == (len(own) == 1)


def test_a_claim_without_figures_is_not_decidable(tmp_path):
    made = Made(tmp_path, "table2")
    made.seeds(LEARNED, QUANTISATION, "l_recon fit", LOW)
    found = claims(made)
    assert len(found) == 3, "those on what was not measured at all are left out"
    assert {each["verdict"] for each in found.values()} == {OPEN}
    assert all("(no figure)" in each["why"] for each in found.values())


def test_figures_of_a_claim_are_of_the_seeds_that_both_have(tmp_path):
    made = Made(tmp_path, "table2")
    made.seeds(LEARNED, QUANTISATION, "l_recon fit", [1.0, 1.1, 9.0])
    made.seeds(Row("MMQ by gradient w/o cosine"), QUANTISATION, "l_recon fit", [2.0, 2.11])
    found = claims(made)[BETTER]
    assert "MMQ by gradient 1.050 against MMQ by gradient w/o cosine 2.055" in found["why"]
    assert found["verdict"] == HOLDS


def entropies(made, **odd):
    """MMQ's entropy is clearly above that of every baseline but of those given."""
    made.seeds(OURS, QUANTISATION, "entropy", HIGH)
    for name in baselines(TWO):
        values = odd.get(name.replace("-", "_"), LOW)
        made.seeds(Row(name), QUANTISATION, "entropy", values)


@pytest.mark.parametrize(
    ("odd", "verdict"),
    [
        ({}, HOLDS),
        ({"MS_OPQ": MIXED}, OPEN),
        ({"MS_OPQ": []}, OPEN),  # that of a cell that failed may have been the better one
        ({"MS_OPQ": [3.0, 3.02, 2.97]}, FAILS),
        ({"MS_OPQ": [3.0, 3.02, 2.97], "MA_OPQ": []}, FAILS),
    ],
    ids=["all", "noise", "missing", "one is better", "one is better and one missing"],
)
def test_a_claim_on_several_rows_holds_if_it_does_for_all(made, odd, verdict):
    entropies(made, **odd)
    found = claims(made)["MMQ uses its codes more evenly than every baseline"]
    assert found["verdict"] == verdict
    assert found["paper"].startswith("an entropy of 4.42")
    assert all(name in found["why"] for name in baselines(TWO))
    assert ("no figure" in found["why"]) == ([] in odd.values())


def test_claims_on_models_are_judged_over_users(made):
    names = np.array([f"user {number:02}" for number in range(40)])
    rng = np.random.default_rng(1)
    frozen = rng.random(40) / 2
    for row, values in (
        (OURS, frozen),
        (Row("MMQ", LONGER), frozen + rng.normal(size=40)),
        (Row("MMQ", JOINTLY), frozen + 0.1 + 0.01 * rng.random(40)),
    ):
        for seed in (0, 1):
            figures = values + (0.001 * seed if row.stage else 0)
            users = {"user": names, "recall@10": figures, "ndcg@10": figures}
            made.put(row, RETRIEVAL, seed, users, **{"recall@10": float(figures.mean())})
    found = claims(made)
    assert found["Fine-tuning makes MMQ retrieve better"]["verdict"] == HOLDS
    control = next(each for name, each in found.items() if name.endswith("(our control)"))
    assert control["verdict"] == OPEN


def test_only_claims_on_tables_that_were_made_are_judged(tmp_path):
    made = Made(tmp_path, "figure5")
    made.seeds(OURS, QUANTISATION, "entropy", HIGH)
    made.seeds(OURS, QUANTISATION, "l_recon fit", HIGH)
    made.seeds(Row("MMQ, 9 codes"), QUANTISATION, "l_recon fit", LOW)
    (found,) = verdicts(made.found)
    assert (found["of"], found["verdict"]) == ("figure5", OPEN)  # 12 codes and more are missing


def test_a_table_says_of_how_many_users_a_gauc_is(made):
    assert table(made.found, "table1", "T", "Rows.")["about"] == "Rows."
    made.put(OURS, QUANTISATION, 0, entropy=1.0)
    assert table(made.found, "table1", "T", "Rows.")["about"] == "Rows."
    counts = {"eligible_users": 62, "all_users": 1272, "eligible_rows": 900, "all_rows": 5000}
    made.put(OTHER, RANKING, 1, gauc=0.7, **counts)
    assert table(made.found, "table1", "T", "Rows.")["about"] == (
        "Rows. GAUC and AUC of users are of the 62 of 1,272 users who have impressions of both "
        "labels, 900 of 5,000 impressions."
    )

"""The page on an experiment says what the analysis says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmq.ab import METRICS, Experiment, Windows, verdict
from mmq.ab._analysis import Analysis, from_sums
from mmq.ab._counts import Counts
from mmq.ab._moments import Moments
from mmq.ab._users import COLUMNS, DAY, Cell, UserSums
from mmq.errors import DataError
from mmq.reports._ab import TrueEffect, write_ab_report


def analysis(lift: float, users: dict[str, int]) -> Analysis:
    """Three days of users whose revenue is that of the control times 1 + lift."""
    rng = np.random.default_rng(0)
    cells = {}
    for day in range(3):
        for arm, count in users.items():
            columns = {name: rng.gamma(2.0, size=count) for name in COLUMNS}
            columns["revenue"] *= 1 + lift * (arm == "treatment")
            cells[Cell(arm, day, "new users")] = Moments.of(columns)
    counts = Counts(*[0] * len(Counts._fields))._replace(users_too_recent=12, users=9)
    exposed = {arm: 3 * count for arm, count in users.items()}
    sums = UserSums(cells, exposed, counts, 99.0, (0, 3 * DAY))
    arms = [{"name": name, "weight": 0.5} for name in ("control", "treatment")]
    trial = Experiment.parse({"name": "<trial>", "arms": arms, "planned_users": 1000})
    return from_sums(trial, Windows(), METRICS[2], sums)


def test_the_verdict_its_figures_and_the_truth_are_there(tmp_path: Path) -> None:
    found, path = analysis(0.5, {"control": 200, "treatment": 200}), tmp_path / "page.html"
    write_ab_report(found, path, {"events": "x"}, {"treatment": TrueEffect("revenue", 0.49)})
    page = path.read_text()
    assert '<div class="grade">better</div>' in page
    assert "&lt;trial&gt;" in page
    assert "<trial>" not in page
    assert "true effect on revenue per user is +49.0%" in page
    assert "12 users were exposed too recently" in page
    assert page.count("data:image/svg+xml") == 2
    assert f"{found.results[0].differences['revenue'].relative:+.1%}" in page
    first = verdict(found)[0]
    assert first.split(";")[0] in page


def test_a_mismatch_and_an_undecided_arm(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_ab_report(analysis(0.0, {"control": 200, "treatment": 300}), path, {})
    assert '<div class="grade">no verdict</div>' in path.read_text()
    write_ab_report(analysis(0.0, {"control": 200, "treatment": 200}), path, {})
    assert '<div class="grade">undecided</div>' in path.read_text()
    write_ab_report(analysis(0.0, {"control": 20, "treatment": 20}), path, {})
    assert "too few for intervals" in path.read_text()


def test_a_path_that_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ends in"):
        write_ab_report(analysis(0.0, {"control": 200, "treatment": 200}), tmp_path / "x.pdf", {})

"""Sums over users against a plain loop, and what is said of every bad row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ab_cases import (
    NOW,
    at,
    clicked,
    experiment,
    ordered,
    random_logs,
    shown,
    write_logs,
)

from mmq.ab import Event, Exposure
from mmq.ab._moments import Moments
from mmq.ab._users import COLUMNS, Cell, UserSums, Windows, sum_users
from mmq.errors import DataError, DataWarning


def summed(folder: Path, exposures: list[Exposure], events: list[Event], **values) -> UserSums:
    windows = Windows.parse(values)
    return sum_users(
        experiment(), *write_logs(folder, exposures, events), windows, now=NOW, threads=1
    )


def by_hand(exposures: list[Exposure], events: list[Event], windows: Windows) -> dict[str, dict]:
    """Arm -> user -> figures, without caps."""
    first, arms = {}, {}
    for each in exposures:
        first[each.user_id] = min(first.get(each.user_id, each.time), each.time)
        arms[each.user_id] = each.arm
    end = max(each.time for each in events)

    def days(user: int, time) -> float:
        return (time - first[user]).total_seconds() / 86400

    early = Counter(e.item_id for e in events if e.kind == "order" and e.time < first[e.user_id])
    head, so_far = set(), 0
    for item, count in sorted(early.items(), key=lambda each: (-each[1], each[0])):
        if so_far < windows.head_share * sum(early.values()):
            head.add(item)
        so_far += count
    found: dict[str, dict] = {"control": {}, "treatment": {}}
    for user, arm in arms.items():
        if (end - first[user]).total_seconds() / 86400 < windows.window_days:
            continue
        own = [(each, days(user, each.time)) for each in events if each.user_id == user]
        after = [each for each, day in own if 0 <= day < windows.window_days]
        before = [each for each, day in own if -windows.before_days <= day < 0]
        orders = [each for each in after if each.kind == "order"]
        earlier = [each for each in before if each.kind == "order"]
        slates = [
            e for e in exposures if e.user_id == user and days(user, e.time) < windows.window_days
        ]
        found[arm][user] = {
            "converted": bool(orders),
            "orders": len(orders),
            "revenue": sum(each.value for each in orders),
            "clicks": len(after) - len(orders),
            "slates": len(slates),
            "tail_orders": sum(each.item_id not in head for each in orders),
            "converted_before": bool(earlier),
            "orders_before": len(earlier),
            "revenue_before": sum(each.value for each in earlier),
            "new": not before,
        }
    return found


def together(sums: UserSums, arm: str, stratum: str | None = None) -> Moments:
    cells = [m for cell, m in sums.cells.items()
             if cell.arm == arm and stratum in (None, cell.stratum)]  # fmt: skip
    return sum(cells, Moments.none(COLUMNS))


def test_sums_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    exposures, events = random_logs(300, 0)
    windows = Windows.parse({"window_days": 5, "before_days": 20})
    sums = summed(tmp_path, exposures, events, window_days=5, before_days=20)
    for arm, users in by_hand(exposures, events, windows).items():
        assert together(sums, arm).users == len(users)
        new = sum(each["new"] for each in users.values())
        assert together(sums, arm, "new users").users == new
        for name in set(COLUMNS) - {"revenue_capped", "capped_before"}:
            values = np.array([float(each[name]) for each in users.values()])
            place = COLUMNS.index(name)
            assert together(sums, arm).sums[place] == pytest.approx(values.sum()), name
            assert together(sums, arm).products[place, place] == pytest.approx((values**2).sum())
    revenue = [u["revenue"] for users in by_hand(exposures, events, windows).values()
               for u in users.values()]  # fmt: skip
    capped = sum(together(sums, arm).total("revenue_capped") for arm in ("control", "treatment"))
    assert sums.cap == pytest.approx(
        np.quantile([r for r in revenue if r], 0.99, method="inverted_cdf")
    )
    assert capped == pytest.approx(np.minimum(revenue, sums.cap).sum())


def base_case() -> tuple[list[Exposure], list[Event]]:
    exposures = [shown(1, 0, "control"), shown(2, 1, "treatment"), shown(3, 1, "control")]
    return exposures, [ordered(1, 1, 10.0), ordered(2, 2, 20.0), clicked(3, 30)]


def test_a_doubled_row_is_counted_once(tmp_path: Path) -> None:
    exposures, events = base_case()
    sums = summed(tmp_path, [*exposures, exposures[0]], [*events, events[1], events[1]])
    assert together(sums, "treatment").total("orders") == 1
    assert together(sums, "control").total("slates") == 2
    assert (sums.counts.exposures_doubled, sums.counts.events_doubled) == (1, 2)
    notes = list(sums.counts.notes())
    assert "1 exposures repeat an event id and are counted once" in notes
    assert "2 events repeat an event id and are counted once" in notes


def test_a_user_in_two_arms_counts_in_none(tmp_path: Path) -> None:
    exposures, events = base_case()
    sums = summed(tmp_path, [*exposures, shown(3, 2, "treatment", 1)], events)
    assert together(sums, "control").users == 1
    assert sums.exposed == {"control": 1, "treatment": 1}
    assert sums.counts.users_in_several_arms == 1
    assert any("exposed to several arms and are counted in none" in n for n in sums.counts.notes())
    assert any("33.3% of the users" in each for each in sums.counts.doubts())


def test_an_order_before_the_exposure_is_the_covariate_and_no_outcome(tmp_path: Path) -> None:
    exposures, events = base_case()
    sums = summed(tmp_path, exposures, [*events, ordered(3, 0.5, 7.0, 1), ordered(3, 9, 8.0, 2)])
    control = together(sums, "control")
    assert control.total("revenue") == 10.0
    assert control.total("revenue_before") == 7.0
    assert (sums.counts.events_before, sums.counts.events_late) == (1, 2)


def test_an_order_without_a_value(tmp_path: Path) -> None:
    exposures, events = base_case()
    missing = [ordered(1, 1.5, None, 1), ordered(2, 3, float("nan"), 1)]
    sums = summed(tmp_path, exposures, [*events, *missing])
    assert together(sums, "control").total("orders") == 2
    assert together(sums, "control").total("revenue") == 10.0
    assert sums.counts.orders_without_value == 2
    assert any("2 orders have no value" in each for each in sums.counts.notes())
    assert any("50.0% of the orders have no value" in each for each in sums.counts.doubts())


def test_events_of_the_future_of_others_and_incomplete_ones(tmp_path: Path) -> None:
    exposures, events = base_case()
    odd = [ordered(1, 999, 5.0, 7), ordered(99, 2, 5.0), events[0]._replace(user_id=None)]
    lost = exposures[0]._replace(event_id="y", user_id=None)
    sums = summed(tmp_path, [*exposures, lost], [*events, *odd])
    counts = sums.counts
    assert (counts.events_in_the_future, counts.events_of_others) == (1, 1)
    assert (counts.events_incomplete, counts.exposures_incomplete) == (1, 1)
    assert together(sums, "control").total("revenue") == 10.0
    assert any("lie in the future and are left out" in each for each in counts.notes())


def test_clocks_that_differ_forbid_a_verdict(tmp_path: Path) -> None:
    exposures = [
        shown(user, 1 + user / 100, ("control", "treatment")[user % 2]) for user in range(60)
    ]
    events = [clicked(user, 1.02 + user / 100) for user in range(60)]
    assert not list(summed(tmp_path, exposures, [*events, clicked(0, 20, 1)]).counts.doubts())
    late = [each._replace(time=at(1.02 + n / 100 - 5 / 24)) for n, each in enumerate(events)]
    doubts = list(summed(tmp_path, exposures, [*late, clicked(0, 20, 1)]).counts.doubts())
    assert any("the clocks of the two logs differ" in each for each in doubts)


def test_users_whose_window_is_not_over_do_not_count_yet(tmp_path: Path) -> None:
    exposures, events = base_case()
    sums = summed(tmp_path, [*exposures, shown(4, 25, "control")], events)
    assert together(sums, "control").users == 2
    assert sums.counts.users_too_recent == 1
    assert sums.exposed["control"] == 3, "the sample ratio is of all"
    with pytest.raises(DataError, match="nobody was exposed 40 days before the last event"):
        summed(tmp_path, exposures, events, window_days=40)


def test_strata_of_a_file(tmp_path: Path) -> None:
    exposures, events = base_case()
    strata = tmp_path / "strata.parquet"
    pq.write_table(pa.table({"user_id": [1, 2], "stratum": ["home", "home"]}), strata)
    paths = write_logs(tmp_path, exposures, events)
    sums = sum_users(experiment(), *paths, Windows(), strata=strata, now=NOW, threads=1)
    assert together(sums, "control", "home").users == 1
    assert together(sums, "control", "not in a stratum").users == 1


def test_an_arm_nobody_saw_and_one_nobody_knows(tmp_path: Path) -> None:
    exposures, events = base_case()
    with pytest.raises(DataError, match="nobody saw the arm 'treatment'"):
        summed(tmp_path, [exposures[0]], events)
    with pytest.raises(DataError, match="did you mean 'control'"):
        summed(tmp_path, [*exposures, shown(5, 1, "contrl")], events)
    other = [each._replace(experiment="tral") for each in exposures]
    with pytest.raises(DataError, match=r"no exposure of the experiment 'trial'.*'tral'"):
        summed(tmp_path, other, events)


def test_a_kind_that_is_not_known_and_an_infinite_value(tmp_path: Path) -> None:
    exposures, events = base_case()
    with pytest.raises(DataError, match="infinite"):
        summed(tmp_path, exposures, [*events, ordered(1, 1, float("inf"), 3)])
    paths = write_logs(tmp_path, exposures, events)
    table = pq.read_table(paths[1])
    kinds = pa.array(["click", "view", "view"])
    pq.write_table(table.set_column(4, "kind", kinds), paths[1])
    with pytest.raises(DataError, match="2 events are of the kind 'view'"):
        sum_users(experiment(), *paths, Windows(), now=NOW)


def test_times_without_a_zone_as_text_or_absent(tmp_path: Path) -> None:
    paths = write_logs(tmp_path, *base_case())
    zoned = sum_users(experiment(), *paths, Windows(), now=NOW, threads=1)
    table = pq.read_table(paths[1])
    berlin = table["time"].cast(pa.timestamp("us", "Europe/Berlin"))
    pq.write_table(table.set_column(3, "time", berlin), paths[1])
    moved = sum_users(experiment(), *paths, Windows(), now=NOW, threads=1)
    assert moved.counts == zoned.counts, "a zone changes no moment"
    pq.write_table(table.set_column(3, "time", table["time"].cast(pa.timestamp("us"))), paths[1])
    with pytest.warns(DataWarning, match="no time zone and are read as UTC"):
        sum_users(experiment(), *paths, Windows(), now=NOW, threads=1)
    pq.write_table(table.set_column(3, "time", table["time"].cast(pa.string())), paths[1])
    with pytest.raises(DataError, match=r"'time' .* is of type string"):
        sum_users(experiment(), *paths, Windows(), now=NOW)
    pq.write_table(table.drop_columns("value"), paths[1])
    with pytest.raises(DataError, match="no column 'value'"):
        sum_users(experiment(), *paths, Windows(), now=NOW)


def test_exposures_outside_of_the_experiment(tmp_path: Path) -> None:
    exposures, events = base_case()
    trial = experiment(start=at(0.5).isoformat(), end=at(40).isoformat())
    early = [*exposures, shown(4, 2, "control")]
    sums = sum_users(trial, *write_logs(tmp_path, early, events), Windows(), now=NOW)
    assert sums.counts.exposures_outside == 1
    assert {cell.arm for cell in sums.cells} == {"control", "treatment"}
    assert isinstance(next(iter(sums.cells)), Cell)


def test_exposures_and_events_in_one_log(tmp_path: Path) -> None:
    exposures, events = base_case()
    apart = summed(tmp_path, exposures, events)
    first, second = (pq.read_table(path) for path in write_logs(tmp_path, exposures, events))
    arms = pa.array(["control", "treatment", "control"])
    second = second.append_column("experiment", pa.array(["trial"] * 3)).append_column("arm", arms)
    names = ["event_id", "user_id", "time", "experiment", "arm"]
    first = first.select(names).append_column("kind", pa.array(["exposure"] * 3))
    path = tmp_path / "log.parquet"
    pq.write_table(pa.concat_tables([first, second], promote_options="default"), path)
    one = sum_users(experiment(), path, path, Windows(), now=NOW, threads=1)
    assert one.counts == apart.counts
    assert together(one, "control").sums == pytest.approx(together(apart, "control").sums)

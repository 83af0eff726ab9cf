"""Who takes part: exposures, each once, and the arm and first exposure of every user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmq.ab._experiment import Experiment
from mmq.ab._sources import Source, every_row, one_row
from mmq.errors import DataError, nearest

if TYPE_CHECKING:
    import duckdb


def enrol(
    base: duckdb.DuckDBPyConnection, source: Source, experiment: Experiment
) -> dict[str, int]:
    """Tables ``slates`` (each once) and ``enrolled`` (users, their arm and first exposure)."""
    moments = [None if each is None else int(each.timestamp() * 1e6)
               for each in (experiment.start, experiment.end)]  # fmt: skip
    low, high = moments[0] if moments[0] is not None else -(2**62), moments[1] or 2**62
    own = source.exposures_of(experiment.name)
    inside = f"epoch_us(time) >= {low} AND epoch_us(time) < {high}"
    whole = "event_id IS NOT NULL AND user_id IS NOT NULL AND time IS NOT NULL AND arm IS NOT NULL"
    _check_arms(base, source, experiment, own)
    incomplete, outside = one_row(
        base,
        f"""SELECT count(*) FILTER (WHERE NOT ({whole})),
            count(*) FILTER (WHERE ({whole}) AND NOT ({inside})) FROM {source.sql} WHERE {own}""",
    )
    base.execute(
        f"""CREATE TABLE slates AS SELECT CAST(user_id AS VARCHAR) AS user_id,
            min(epoch_us(time)) AS time, min(arm) AS arm, max(arm) AS other, count(*) AS copies
        FROM {source.sql} WHERE {own} AND {whole} AND {inside} GROUP BY event_id, user_id"""
    )
    base.execute(
        """CREATE TABLE enrolled AS SELECT user_id, min(time) AS first, min(arm) AS arm,
            min(arm) <> max(other) AS several FROM slates GROUP BY user_id"""
    )
    rows, doubled = one_row(base, "SELECT sum(copies), sum(copies - 1) FROM slates")
    users, several = one_row(
        base, "SELECT count(*) FILTER (NOT several), count(*) FILTER (several) FROM enrolled"
    )
    return {
        "exposures": rows,
        "exposures_incomplete": incomplete,
        "exposures_outside": outside,
        "exposures_doubled": doubled,
        "users": users,
        "users_in_several_arms": several,
    }


def _check_arms(
    base: duckdb.DuckDBPyConnection, source: Source, experiment: Experiment, own: str
) -> None:
    found = every_row(base, f"SELECT arm, count(*) FROM {source.sql} WHERE {own} GROUP BY arm")
    rows = {arm: count for arm, count in found if arm is not None}
    if not rows:
        names = every_row(base, f"SELECT DISTINCT experiment FROM {source.sql} LIMIT 20")
        known = [str(name) for (name,) in names if name is not None]
        raise DataError(
            f"{source.path} has no exposure of the experiment '{experiment.name}'; "
            f"{nearest(experiment.name, known)}"
        )
    for arm in sorted(rows.keys() - set(experiment.arm_names)):
        raise DataError(
            f"{rows[arm]:,} exposures of '{experiment.name}' have the arm '{arm}', which the "
            f"experiment does not; {nearest(arm, experiment.arm_names)}"
        )
    for arm in experiment.arm_names:
        if arm not in rows:
            raise DataError(
                f"nobody saw the arm '{arm}' of '{experiment.name}'; check that it is served and "
                "logged, or take it out of the experiment"
            )

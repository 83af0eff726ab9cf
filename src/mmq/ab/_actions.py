"""What users of an experiment did: their events, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmq.ab._log import KINDS
from mmq.ab._sources import Source, every_row, one_row, quoted
from mmq.errors import DataError

if TYPE_CHECKING:
    import duckdb


def act(base: duckdb.DuckDBPyConnection, source: Source, now: int) -> dict[str, int]:
    """Table ``actions``: events of enrolled users, each once."""
    kinds = ", ".join(map(quoted, KINDS))
    whole = "event_id IS NOT NULL AND user_id IS NOT NULL AND time IS NOT NULL AND kind IS NOT NULL"
    bad = every_row(
        base,
        f"""SELECT kind, count(*) FROM {source.sql} WHERE kind NOT IN ({kinds}, 'exposure')
        GROUP BY kind ORDER BY kind LIMIT 1""",
    )
    for kind, rows in bad:
        raise DataError(
            f"{rows:,} events are of the kind '{kind}'; click and order are known, leave the "
            "others out"
        )
    infinite, incomplete, future, others = one_row(
        base,
        f"""SELECT count(*) FILTER (isinf(value)), count(*) FILTER (WHERE NOT ({whole})),
            count(*) FILTER (WHERE ({whole}) AND epoch_us(time) > {now}),
            count(*) FILTER (WHERE ({whole}) AND CAST(user_id AS VARCHAR) NOT IN
                (SELECT user_id FROM enrolled))
        FROM {source.sql} WHERE kind IS DISTINCT FROM 'exposure'""",
    )
    if infinite:
        raise DataError(f"{infinite:,} events of {source.path} have an infinite value; mend them")
    base.execute(
        f"""CREATE TABLE actions AS
        SELECT user_id, min(epoch_us(time)) AS time, any_value(kind) AS kind,
            any_value(item_id) AS item_id, count(*) AS copies,
            CASE WHEN isnan(any_value(value)) THEN NULL ELSE any_value(value) END AS value
        FROM (SELECT * REPLACE (CAST(user_id AS VARCHAR) AS user_id,
                                CAST(value AS DOUBLE) AS value) FROM {source.sql}
              WHERE kind IN ({kinds}) AND {whole} AND epoch_us(time) <= {now})
        SEMI JOIN enrolled USING (user_id) GROUP BY event_id, user_id"""
    )
    rows, doubled = one_row(base, "SELECT sum(copies), sum(copies - 1) FROM actions")
    base.execute(
        f"""CREATE TABLE ends AS SELECT max(epoch_us(time)) AS last FROM {source.sql}
        WHERE epoch_us(time) <= {now}"""
    )
    return {
        "events": rows,
        "events_of_others": others,
        "events_incomplete": incomplete,
        "events_in_the_future": future,
        "events_doubled": doubled,
    }

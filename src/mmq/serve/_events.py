"""What users did: kept in a database, once each, and safe on the disk before it is acknowledged.

Columns: ``event_id``, ``user_id``, ``item_id`` (as text), ``time`` (microseconds since 1970, UTC),
``kind`` ("exposure", "click" or "order"), ``value``, ``experiment``, ``arm``, ``release``,
``slate``, ``propensity``. This module alone reads and writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

from mmq.errors import DataError, MissingExtraError, SettingsError
from mmq.serve._wire import Event

_FORMS = "sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_POSITIVE = ("click", "order")
"""Kinds of events that a history consists of."""

_tables = sql.MetaData()
_text = sql.String(256)
_number = sql.BigInteger().with_variant(sql.Integer(), "sqlite")
EVENTS = sql.Table(
    "events",
    _tables,
    sql.Column("number", _number, primary_key=True, autoincrement=True),
    sql.Column("event_id", _text, nullable=False, unique=True),
    sql.Column("user_id", _text, nullable=False),
    sql.Column("item_id", _text, nullable=False),
    sql.Column("time", sql.BigInteger, nullable=False),
    sql.Column("kind", sql.String(16), nullable=False),
    sql.Column("value", sql.Double),
    *(sql.Column(name, _text) for name in ("experiment", "arm", "release", "slate")),
    sql.Column("propensity", sql.Double),
    sql.Index("events_of_users", "user_id", "time", "number"),
)


class Kept(NamedTuple):
    """What became of some events: kept now, or known already."""

    accepted: int
    duplicates: int


class EventStore:
    """Events in a database.

    Args:
        url: of SQLAlchemy, ``sqlite:///PATH`` or ``postgresql+psycopg://USER:PASSWORD@HOST/NAME``.

    Raises:
        SettingsError: another kind of database.
        DataError: it cannot be opened.
        MissingExtraError: its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        try:
            _tables.create_all(self._engine)
        except sql.exc.SQLAlchemyError as error:
            raise DataError(f"the database of events cannot be opened ({_reason(error)})") from None

    def keep(self, events: Sequence[Event]) -> Kept:
        """Keep events whose ids are not known; they are on the disk when this returns."""
        first: dict[str, Event] = {}
        for event in events:
            first.setdefault(event.event_id, event)
        rows = [_row(event) for event in first.values()]
        insert = _INSERTS[self._engine.dialect.name](EVENTS).values(rows)
        statement = insert.on_conflict_do_nothing(index_elements=["event_id"])
        with self._engine.begin() as connection:
            kept = connection.execute(statement.returning(EVENTS.c.number)).all()
        accepted = len(kept)
        return Kept(accepted, len(events) - accepted)

    def history(self, user_id: str, most: int) -> list[str]:
        """Items that a user clicked or ordered, oldest first; the last ``most`` of them."""
        latest = (
            sql.select(EVENTS.c.item_id)
            .where(EVENTS.c.user_id == user_id, EVENTS.c.kind.in_(_POSITIVE))
            .order_by(EVENTS.c.time.desc(), EVENTS.c.number.desc())
            .limit(most)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(latest).scalars())[::-1]

    def count(self) -> int:
        """Events that are kept."""
        with self._engine.connect() as connection:
            found = connection.execute(sql.select(sql.func.count()).select_from(EVENTS))
            return int(found.scalar_one())

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()


def _row(event: Event) -> dict[str, Any]:
    at = event.time or datetime.now(UTC)
    microseconds = int(at.timestamp() * 1_000_000)
    return {**event.model_dump(), "item_id": str(event.item_id), "time": microseconds}


def _engine(url: str) -> sql.Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in _INSERTS:
            raise SettingsError(
                f"events are kept in SQLite or PostgreSQL, not in {parsed.get_backend_name()}; "
                f"give {_FORMS}"
            )
        engine = sql.create_engine(parsed, pool_pre_ping=True)
    except sql.exc.ArgumentError:
        raise SettingsError(f"--events is no URL of a database; give {_FORMS}") from None
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "psycopg", "postgres") from error
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        sql.event.listen(engine, "connect", _careful)
    return engine


def _careful(connection: Any, _: object) -> None:
    """Every transaction of SQLite is on the disk when it ends, and readers do not wait."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _reason(error: sql.exc.SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]

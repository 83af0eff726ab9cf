from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmq.errors import DataError, SettingsError
from mmq.serve._events import EventStore
from mmq.serve._wire import Event


def event(number: int, user: str = "u", **more) -> Event:
    values = {"event_id": str(number), "user_id": user, "item_id": number, "kind": "click"}
    return Event(**(values | more))


@pytest.fixture
def store(tmp_path) -> EventStore:
    return EventStore(f"sqlite:///{tmp_path / 'events.sqlite'}")


def test_an_event_is_kept_once(store) -> None:
    assert store.keep([event(1), event(2), event(1, item_id=9)]) == (2, 1)
    assert store.keep([event(2, user="v"), event(3)]) == (1, 1)
    assert store.history("u", 10) == ["1", "2", "3"]
    assert (store.history("v", 10), store.count()) == ([], 3)


def test_a_history_is_in_the_order_of_time(store) -> None:
    early, late = "2020-01-01T00:00:00+00:00", "2020-01-01T00:00:00-05:00"
    store.keep([event(1, time=late), event(2, time=early), event(3, time=late)])
    store.keep([event(4, kind="exposure"), event(5, kind="order")])
    assert store.history("u", 10) == ["2", "1", "3", "5"]
    assert store.history("u", 2) == ["3", "5"]


def test_other_databases_are_refused(tmp_path) -> None:
    with pytest.raises(SettingsError, match="not in mysql"):
        EventStore("mysql://localhost/x")
    with pytest.raises(SettingsError, match="no URL"):
        EventStore("nonsense")
    (tmp_path / "events").write_text("something else, and long enough to be no database")
    with pytest.raises(DataError, match="cannot be opened"):
        EventStore(f"sqlite:///{tmp_path / 'events'}")


CHILD = """
import sys
from mmq.serve._events import EventStore
from mmq.serve._wire import Event
store = EventStore(sys.argv[1])
number = 0
while True:
    event = dict(event_id=str(number), user_id="u", item_id=number, kind="click")
    store.keep([Event(**event)])
    print(number, flush=True)
    number += 1
"""


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.sqlite'}"
    child = subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().split()]
    child.wait()
    child.stdout.close()
    store = EventStore(url)
    kept = [int(item) for item in store.history("u", 1_000_000)]
    assert kept == list(range(len(kept)))
    assert len(kept) - len(acknowledged) in (0, 1)  # at most one was kept and not yet told
    assert store.keep([event(number) for number in acknowledged]).accepted == 0


def test_postgresql(tmp_path, request) -> None:
    url = os.environ.get("MMQ_POSTGRES")
    if not url:
        pytest.skip("needs a server: set MMQ_POSTGRES to its SQLAlchemy URL")
    store = EventStore(url)
    request.addfinalizer(store.close)
    user = f"user of {tmp_path}"
    numbers = [f"{tmp_path}{place}" for place in range(3)]
    happened = [event(place, user, event_id=number) for place, number in enumerate(numbers)]
    assert store.keep(happened) == (3, 0)
    assert store.keep(happened) == (0, 3)
    assert store.history(user, 2) == ["1", "2"]

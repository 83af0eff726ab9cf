"""What a service is started with."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt

from mmq.errors import DataError, SettingsError
from mmq.settings import Settings

KEYS = "MMQ_API_KEYS"
"""Environment variable of keys, parted by commas."""
_LEAST_KEY = 16


class ServeSettings(Settings):
    """Where releases are, who may ask, and how much at a time."""

    releases: Path
    """Folder of releases."""
    active: str | None = None
    """The release to begin with; None takes the one that was active last, or the newest."""
    host: str = "127.0.0.1"
    """Address to listen at; any but the machine's own needs keys."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen at."""
    workers: PositiveInt = 1
    """Processes that answer, each with its own copy of the release."""
    keys: Path | None = None
    """File of keys, one a line; keys of the environment variable MMQ_API_KEYS are known too."""
    state: Path | None = None
    """Folder that remembers the active release and the events; None takes RELEASES/.service."""
    events: str | None = None
    """Database of events as an SQLAlchemy URL; None takes SQLite in the state folder."""
    max_batch: PositiveInt = 64
    """Users that the model answers at a time."""
    max_wait_ms: float = Field(default=2.0, ge=0)
    """How long a request waits for others to be answered with it."""
    queue: PositiveInt = 1024
    """Users that wait for an answer; more are told to come again later (429)."""
    timeout_s: PositiveFloat = 10.0
    """Longest time that a request takes before it is given up (504)."""
    threads: int = Field(default=0, ge=0)
    """Threads of the model's arithmetic; 0 leaves one core to everything else."""
    drain_s: float = Field(default=3.0, ge=0)
    """How long the service goes on answering after SIGTERM, while it says that it is not ready."""

    @property
    def state_folder(self) -> Path:
        """Where the service writes."""
        return self.state or self.releases / ".service"

    @property
    def events_url(self) -> str:
        """Database of events."""
        return self.events or f"sqlite:///{self.state_folder / 'events.sqlite'}"

    @property
    def resolved_threads(self) -> int:
        """Threads of the model's arithmetic."""
        return self.threads or max(1, (os.cpu_count() or 1) - 1)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can ask."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def read_keys(self) -> tuple[str, ...]:
        """The keys that may ask.

        Raises:
            DataError: there is no file of keys.
            SettingsError: a key is too short, or there is none and others than this machine could
                ask.
        """
        keys = [*_lines(self.keys), *os.environ.get(KEYS, "").split(",")]
        keys = [key.strip() for key in keys if key.strip()]
        if any(len(key) < _LEAST_KEY or not key.isascii() for key in keys):
            raise SettingsError(
                f"a key is shorter than {_LEAST_KEY} characters or not ASCII; make keys with: "
                "python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        if not keys and not self.is_local:
            raise SettingsError(
                f"at {self.host} others than this machine could ask, and no key is set; give "
                f"--keys FILE or {KEYS}, or listen at 127.0.0.1"
            )
        return tuple(keys)


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the keys in {path} cannot be read ({error}); check the path") from None

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mmq._formats import read_json, write_json
from mmq.release import MANIFEST
from mmq.serve import ServeSettings, create_app
from release_shop import write_releases


@pytest.fixture(scope="session")
def releases(tmp_path_factory) -> Path:
    """A folder of two releases, "first" and "second" with new items; and "damaged"."""
    folder = write_releases(tmp_path_factory.mktemp("served"))
    shutil.copytree(folder / "first", folder / "damaged")
    manifest = folder / "damaged" / MANIFEST
    write_json(manifest, read_json(manifest, "manifest") | {"name": "damaged"})
    codes = folder / "damaged" / "codes.json"
    codes.chmod(0o644)
    codes.write_text(codes.read_text() + " ")
    return folder


@pytest.fixture
def started(releases, tmp_path) -> Iterator[Callable[..., TestClient]]:
    """What starts a service of the first release, with settings of its own."""
    open_clients = []

    def start(**settings) -> TestClient:
        values = {"releases": releases, "active": "first", "state": tmp_path / "state"}
        client = TestClient(create_app(ServeSettings.parse(values | settings)))
        open_clients.append(client)
        return client.__enter__()

    yield start
    for client in open_clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(started) -> TestClient:
    return started()

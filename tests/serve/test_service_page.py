from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from mmq.serve import ServeSettings, create_app

CHROMIUM = shutil.which("chromium")


def test_the_page_loads_nothing_from_elsewhere(client) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert re.findall(r"https?://", answer.text) == []
    assert "innerHTML" not in answer.text


@contextlib.contextmanager
def served(settings: ServeSettings) -> Iterator[str]:
    """Address of a service in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_shows_titles_as_text_and_recommendations_with_reasons(
    releases, tmp_path
) -> None:
    """The shop's titles hold scripts; the page's policy and its code leave them text."""
    settings = ServeSettings(releases=releases, active="second", state=tmp_path / "state")
    with served(settings) as address:
        dom = browsed(f"{address}/#history=1,2&item=40", tmp_path)
    assert "release second" in dom
    assert "Toy 40 &lt;script&gt;alert(40)&lt;/script&gt;" in dom
    assert dom.count("<script>") == 1  # the page's own
    assert dom.count("because of Toy") >= 1
    assert "12 items, from a history of 2" in dom


def browsed(address: str, folder) -> str:
    """The page's elements once it has been shown."""
    assert CHROMIUM is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [CHROMIUM, *options, profile, "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

"""The service as a process of its own: it starts, drains and ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from mmq.cli import main


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def process(releases, tmp_path):
    """A service with a drain of two seconds, and its address."""
    port = free_port()
    options = ["--port", str(port), "--state", str(tmp_path / "state"), "--set", "drain_s=2"]
    command = [sys.executable, "-m", "mmq", "serve", str(releases), "--active", "first", *options]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(2000):
        try:
            httpx.get(f"{address}/health/ready")
            break
        except httpx.ConnectError:
            assert child.poll() is None, "the service ended before it began"
            time.sleep(0.05)
    yield child, address
    child.kill()
    child.wait()


def test_sigterm_lets_running_requests_end_and_says_that_it_is_not_ready(process) -> None:
    child, address = process
    statuses: list[int] = []
    ready: list[int] = []

    def asks() -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            try:
                while True:
                    answer = client.post("/v1/recommend", json={"history": [1, 2]})
                    statuses.append(answer.status_code)
                    ready.append(client.get("/health/ready").status_code)
            except httpx.TransportError:  # it is gone; what it took it has answered
                return

    threads = [threading.Thread(target=asks) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(ready) < 8:
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    assert child.wait(30) in (0, -signal.SIGTERM)
    assert set(statuses) == {200}
    assert set(ready) == {200, 503}


def test_mistakes_are_one_sentence(tmp_path, capsys) -> None:
    assert main(["serve", str(tmp_path)]) == 2
    assert "there is no release" in capsys.readouterr().err
    assert main(["serve", str(tmp_path), "--host", "0.0.0.0"]) == 2
    assert "no key is set" in capsys.readouterr().err

from __future__ import annotations

import os
import time

import httpx
import pytest
from test_serve_process import free_port

from mmq.serve import ServeSettings, ray_application

ray = pytest.importorskip("ray")


@pytest.fixture
def cluster():
    """A cluster of one process, and the address that it serves at."""
    from ray import serve

    port = free_port()
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


@pytest.mark.skipif(
    "MMQ_RAY_SERVE" not in os.environ,
    reason="a cluster of Ray Serve takes a minute or more: set MMQ_RAY_SERVE=1",
)
@pytest.mark.filterwarnings("ignore")
def test_two_replicas_answer_and_follow_each_other(cluster, releases, tmp_path) -> None:
    from ray import serve

    settings = ServeSettings(releases=releases, active="first", state=tmp_path / "state")
    serve.run(ray_application(settings, replicas=2), name="mmq", route_prefix="/")
    with httpx.Client(base_url=cluster, timeout=60) as client:
        asked = {"history": [1, 2], "k": 3}
        first = client.post("/v1/recommend", json=asked).json()
        assert first["release"]["name"] == "first"
        assert len(first["results"][0]["items"]) == 3
        assert client.post("/v1/releases/second/activate").status_code == 200
        for _ in range(100):
            answers = [client.post("/v1/recommend", json=asked).json() for _ in range(8)]
            if {each["release"]["name"] for each in answers} == {"second"}:
                break
            time.sleep(0.1)
        assert {each["release"]["name"] for each in answers} == {"second"}

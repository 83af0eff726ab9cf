from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmq._formats import read_json
from mmq.errors import DataError, FormatError
from mmq.release import Release


def active(client) -> str:
    return client.get("/v1/releases").json()["active"]["name"]


def test_activate_and_roll_back(client, releases) -> None:
    listed = client.get("/v1/releases").json()
    assert {each["name"] for each in listed["releases"]} == {
        "first",
        "second",
        "popular",
        "damaged",
    }
    assert client.post("/v1/releases/rollback").status_code == 409
    answer = client.post("/v1/releases/second/activate").json()
    assert answer["release"] == Release.load(releases / "second").identity._asdict()
    assert answer["previous"] == "first"
    assert client.get("/v1/items/40").json()["new"]
    assert client.post("/v1/releases/rollback").json()["release"]["name"] == "first"
    assert client.get("/v1/items/40").status_code == 404
    assert client.post("/v1/releases/rollback").json()["release"]["name"] == "second"


def test_a_damaged_release_leaves_the_old_one_serving(client) -> None:
    answer = client.post("/v1/releases/damaged/activate")
    assert answer.status_code == 409
    assert "codes.json" in answer.json()["error"]["message"]
    assert client.post("/v1/releases/nothing/activate").status_code == 404
    assert client.post("/v1/releases/.service/activate").status_code == 404
    assert active(client) == "first"
    assert client.post("/v1/recommend", json={"history": [1]}).status_code == 200
    assert 'mmq_swaps_total{outcome="refused"} 1.0' in client.get("/metrics").text


def test_no_request_fails_and_none_mixes_two_releases(client, releases) -> None:
    """Answers to one question differ between the releases, and each is that of its release."""
    asked = {"histories": [[1, 2], [5], []], "k": 40}
    expected = {}
    for name in ("second", "first"):
        client.post(f"/v1/releases/{name}/activate")
        expected[name] = client.post("/v1/recommend", json=asked).json()["results"]
    assert expected["first"] != expected["second"]
    done = threading.Event()

    def asks() -> list[tuple[int, bool, str]]:
        seen = []
        while not done.is_set():
            answer = client.post("/v1/recommend", json=asked)
            name = answer.json().get("release", {}).get("name", "")
            seen.append((answer.status_code, close(answer.json(), expected.get(name)), name))
        return seen

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(asks) for _ in range(4)]
        for name in ("second", "damaged", "first", "second", "first", "damaged", "second"):
            client.post(f"/v1/releases/{name}/activate")
        done.set()
        seen = [each for future in asking for each in future.result()]
    assert {status for status, _, _ in seen} == {200}
    assert all(same for _, same, _ in seen)
    assert {name for _, _, name in seen} == {"first", "second"}


def close(answer, expected) -> bool:
    """Whether items are the same and scores so but for the rounding of larger products."""
    return all(
        [item["item_id"] for item in one["items"]] == [item["item_id"] for item in other["items"]]
        and [item["score"] for item in one["items"]]
        == pytest.approx([item["score"] for item in other["items"]], rel=1e-5)
        for one, other in zip(answer["results"], expected, strict=True)
    )


def test_a_restart_goes_on_with_what_was_active(started, tmp_path) -> None:
    first = started()
    first.post("/v1/releases/second/activate")
    assert read_json(tmp_path / "state" / "active.json", "state") == {
        "active": "second",
        "previous": "first",
    }
    again = started(active=None)
    assert active(again) == "second"
    assert again.post("/v1/releases/rollback").json()["release"]["name"] == "first"


def test_one_that_was_damaged_since_gives_way_to_the_one_before(started, tmp_path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "active.json").write_text('{"active": "damaged", "previous": "first"}')
    assert active(started(active=None)) == "first"


def test_there_has_to_be_a_release(started, tmp_path) -> None:
    with pytest.raises(DataError, match="make one with mmq release"):
        started(releases=tmp_path, active=None)
    with pytest.raises(DataError, match="no release 'x'"):
        started(active="x")
    with pytest.raises(FormatError, match="was changed"):
        started(active="damaged")


def test_processes_follow_each_other(started) -> None:
    one, other = started(), started()
    one.post("/v1/releases/second/activate")
    for _ in range(300):
        if active(other) == "second":
            break
        threading.Event().wait(0.02)
    assert active(other) == "second"

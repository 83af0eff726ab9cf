from __future__ import annotations

import json

import pytest

from mmq.errors import DataError, SettingsError
from mmq.serve import ServeSettings, create_app
from mmq.serve._settings import KEYS
from mmq.serve._wire import BODY

JSON = {"content-type": "application/json"}
KEY = "a-key-that-is-long-enough"


def refused(answer, status: int) -> str:
    """The sentence of an error, once its form was looked at."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"status", "code", "message", "request_id"}
    assert error["status"] == status
    assert error["request_id"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 500
    return error["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * (BODY + 1), 413),
        (b"[" * 100_000, 400),
        (b'{"history":' * 50_000, 400),
        (b"", 422),
        (b"{", 422),
        (b"null", 422),
        (b"\xff\xfe", 422),
        (b'{"history": [NaN]}', 422),
        (b'{"history": [1], "new_item_share": NaN}', 422),
        (b'{"history": [1], "new_item_share": 1e999}', 422),
        (b'{"history": [1.5]}', 422),
        (b'{"history": [true]}', 422),
        (b'{"history": [1' + b"0" * 5000 + b"]}", 400),
        (b'{"history": ["' + b"a" * 900_000 + b'"]}', 422),
        (b'{"history": ["\\ud800"]}', 422),
        (b'{"history": ["\\u0000"]}', 422),
        (b'{"history": [[1]]}', 422),
        (b'{"history": [1], "k": 201}', 422),
        (b'{"history": [1], "k": 0}', 422),
        (b'{"history": [1], "nothing": 1}', 422),
        (b'{"history": [1], "user_id": "a"}', 422),
        (b'{"histories": []}', 422),
        (b'{"history": [1], "allow": []}', 422),
        (json.dumps({"histories": [[1]] * 65}).encode(), 422),
        (json.dumps({"history": [1] * 513}).encode(), 422),
        (json.dumps({"history": [1], "categories": {"__class__": "x"}}).encode(), 422),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(client, body, status) -> None:
    answer = client.post("/v1/recommend", content=body, headers=JSON)
    refused(answer, status)
    assert len(answer.content) < 1000  # nothing of what was sent comes back at length


def test_the_length_is_counted_whatever_the_header_says(client) -> None:
    pieces = (b" " * 65_536 for _ in range(BODY // 65_536 + 1))
    refused(client.post("/v1/recommend", content=pieces, headers=JSON), 413)


@pytest.mark.parametrize(
    "history", [[2**63 - 1, -(2**63)], ["\U0001f4a9" * 64, "'; --", "../x"], ["1e3"]]
)
def test_odd_ids_are_unknown_and_no_more(client, history) -> None:
    answer = client.post("/v1/recommend", json={"history": history})
    assert answer.json()["results"][0]["unknown"] == len(history)


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "%F0%9F%92%A9", "a" * 300, "first/../x"],
)
def test_no_path_leads_out(client, path) -> None:
    for route in (f"/v1/items/{path}", f"/v1/items/{path}/picture", f"/v1/attributes/{path}"):
        assert client.get(route).status_code in (404, 422), route
    answer = client.post(f"/v1/releases/{path}/activate")
    assert answer.status_code in (404, 405)
    assert client.get("/v1/releases").json()["active"]["name"] == "first"


def test_a_body_of_another_type_is_no_request(client) -> None:
    answer = client.post(
        "/v1/recommend", content=b'{"history": [1]}', headers={"content-type": "text/plain"}
    )
    refused(answer, 422)


def test_keys(started, monkeypatch, tmp_path) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\n\nanother-key-that-is-long\n")
    monkeypatch.setenv(KEYS, "one-of-the-environment, ")
    client = started(keys=tmp_path / "keys", host="0.0.0.0")
    for path in ("/v1/items/1", "/metrics", "/v1/releases", "/docs", "/openapi.json", "/v2"):
        refused(client.get(path), 401)
        refused(client.get(path, headers={"X-API-Key": KEY + "x"}), 403)
        refused(client.get(path, headers={"X-API-Key": "ключ".encode()}), 403)
        for key in (KEY, "another-key-that-is-long", "one-of-the-environment"):
            assert client.get(path, headers={"X-API-Key": key}).status_code == 200
    assert client.get("/v1/items/1", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    refused(client.get("/v1/items/1", headers={"Authorization": f"Basic {KEY}"}), 401)
    for path in ("/", "/health/live", "/health/ready", "/v2/health/ready"):
        assert client.get(path).status_code == 200


def test_others_may_not_ask_without_keys(releases, tmp_path) -> None:
    with pytest.raises(SettingsError, match="no key is set"):
        create_app(ServeSettings(releases=releases, host="0.0.0.0", state=tmp_path))
    (tmp_path / "keys").write_text("short")
    with pytest.raises(SettingsError, match="shorter than 16"):
        create_app(ServeSettings(releases=releases, keys=tmp_path / "keys", state=tmp_path))
    with pytest.raises(DataError, match="cannot be read"):
        create_app(ServeSettings(releases=releases, keys=tmp_path / "none", state=tmp_path))


def test_without_keys_no_page_of_another_site_can_ask(client) -> None:
    refused(client.get("/v1/items/1", headers={"Host": "attacker.example"}), 403)
    answer = client.post("/v1/releases/second/activate", headers={"Origin": "https://evil.example"})
    refused(answer, 403)
    assert client.get("/v1/items/1", headers={"Origin": "http://testserver"}).status_code == 200
    assert "access-control-allow-origin" not in client.get("/v1/items/1").headers


def test_events_with_mistakes_are_refused_whole(client) -> None:
    good = {"event_id": "1", "user_id": "a", "item_id": 1, "kind": "click"}
    for bad in (
        {"kind": "stare"},
        {"time": "2020-01-01T00:00:00"},
        {"event_id": ""},
        {"user_id": 5},
        {"value": 1e31},
        {"propensity": 0},
        {"item_id": None},
        {"arm": "a\x00b"},
    ):
        refused(client.post("/v1/events", json={"events": [good, good | bad]}), 422)
    refused(client.post("/v1/events", json={"events": [good] * 501}), 422)
    assert client.post("/v1/events", json={"events": [good]}).json()["accepted"] == 1

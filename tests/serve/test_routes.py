from __future__ import annotations

import numpy as np
import pytest

from mmq.data._parquet import read_catalogue
from mmq.recommenders import Recommender
from mmq.release import Release
from mmq.tokenizers import Tokenizer


def recommended(client, **asked) -> list[list[int]]:
    answer = client.post("/v1/recommend", json=asked)
    assert answer.status_code == 200, answer.text
    return [[item["item_id"] for item in each["items"]] for each in answer.json()["results"]]


def test_answers_are_those_of_python_to_the_bit(client, releases) -> None:
    histories = [[1, 5, 9], [2, 3], [30]]
    model = Recommender.load(releases.parent / "shop" / "heterrec")
    model.prepare(len(model.items.item_ids))
    expected = model.recommend(histories, 5, exclude_history=True)
    answer = client.post("/v1/recommend", json={"histories": histories, "k": 5}).json()
    lists = [each["items"] for each in answer["results"]]
    assert [[item["item_id"] for item in each] for each in lists] == expected.item_ids
    assert [[item["score"] for item in each] for each in lists] == expected.scores


def test_every_answer_names_its_release(client, releases) -> None:
    name = Release.load(releases / "first").identity._asdict()
    for path in ("items", "items/1", "items/1/similar", "codes/0/1", "attributes/type"):
        answer = client.get(f"/v1/{path}")
        assert answer.json()["release"] == name, path
        assert answer.headers["x-release"] == "/".join(name.values())
    assert client.get("/v1/items/1/picture").headers["x-release"].startswith("first/")
    assert client.get("/v1/items/1/picture").content[:2] == b"\xff\xd8"


def test_filters(client) -> None:
    history = [1, 2]
    whole = recommended(client, history=history, k=36)[0]
    assert not set(history) & set(whole)
    assert len(whole) == 34
    assert set(history) < set(recommended(client, history=history, k=36, exclude_history=False)[0])
    assert recommended(client, history=history, allow=[7, "9", 777], k=5) == [
        [item for item in whole if item in (7, 9)]
    ]
    assert recommended(client, history=history, exclude=whole[:3], k=2) == [whole[3:5]]
    robots = [item for item in whole if item % 3 == 0]
    assert recommended(client, history=history, categories={"type": "robot"}, k=36) == [robots]
    assert recommended(client, history=history, categories={"type": "nothing"}) == [[]]


def test_who_is_unknown_is_given_what_is_popular(client) -> None:
    answer = client.post("/v1/recommend", json={"history": [999, "x"], "exclude": [1]}).json()
    (result,) = answer["results"]
    assert (result["popular"], result["unknown"]) == (True, 2)
    assert [item["item_id"] for item in result["items"]] == [
        item for item in recommended(client, history=[], k=11)[0] if item != 1
    ][:10]


def test_questions_that_differ_share_a_request_without_harm(client) -> None:
    one = recommended(client, histories=[[1], [], [5, 6]], k=4)
    assert one == [recommended(client, history=each, k=4)[0] for each in ([1], [], [5, 6])]


def test_why(client) -> None:
    answer = client.post("/v1/recommend", json={"history": [1, 2], "k": 3, "why": True}).json()
    for item in answer["results"][0]["items"]:
        assert item["because"]["item_id"] in (1, 2)
        shared = [
            sum(
                client.get(f"/v1/items/{past}").json()["semantic_id"][place] == code
                for past in (1, 2)
            )
            for place, code in enumerate(item["semantic_id"])
        ]
        assert item["because"]["shared_codes"] == shared


def test_new_items_are_given_their_share(started) -> None:
    client = started(active="second")
    asked = {"history": [1, 2], "k": 10, "new_item_share": 0.4}
    items = client.post("/v1/recommend", json=asked).json()["results"][0]["items"]
    assert sum(item["new"] for item in items) == 4
    assert {item["item_id"] for item in items if item["new"]} == {37, 38, 39, 40}
    plain = client.post("/v1/recommend", json={"history": [1, 2], "k": 10}).json()
    assert sum(item["new"] for item in plain["results"][0]["items"]) < 4


def test_a_share_of_no_new_items_is_refused(client) -> None:
    answer = client.post("/v1/recommend", json={"history": [1], "new_item_share": 0.4})
    assert answer.status_code == 422
    assert "none of the 36 items is new" in answer.json()["error"]["message"]


def test_rank(client, releases) -> None:
    ranker = Release.load(releases / "first").models.ranker
    asked = {"user_id": "3", "history": [1, 2], "candidates": [5, "6", 7]}
    items = client.post("/v1/rank", json=asked).json()["items"]
    expected = dict(zip([5, 6, 7], ranker.score("3", [1, 2], [5, 6, 7]).tolist(), strict=True))
    assert {item["item_id"]: item["probability"] for item in items} == expected
    assert [item["item_id"] for item in items] == sorted(expected, key=lambda i: -expected[i])
    refused = client.post("/v1/rank", json={**asked, "candidates": [5, 99]})
    assert (refused.status_code, "99" in refused.json()["error"]["message"]) == (422, True)


def test_encode(client, releases) -> None:
    shop = releases.parent / "shop"
    catalogue = read_catalogue(shop / "all.parquet").take(np.array([0, 39]))
    embeddings = {name: matrix.tolist() for name, matrix in catalogue.embeddings.items()}
    answer = client.post("/v1/encode", json={"embeddings": embeddings}).json()
    assert answer["semantic_ids"] == Tokenizer.load(shop / "tokenizer").encode(catalogue).tolist()
    assert 1 in answer["items"][0]
    embeddings["text"][0] = None
    assert client.post("/v1/encode", json={"embeddings": embeddings}).status_code == 200
    embeddings["text"][0] = [1.0]
    assert "8 of 'text'" in client.post("/v1/encode", json={"embeddings": embeddings}).text
    del embeddings["text"]
    assert "no modality 'text'" in client.post("/v1/encode", json={"embeddings": embeddings}).text


def test_items_and_codes(client) -> None:
    item = client.get("/v1/items/4").json()
    assert item["title"] == "Toy 4 <script>alert(4)</script>"
    assert item["attributes"] == {"type": ["boat", "toy"]}
    assert len(item["code_words"]) == len(item["semantic_id"])
    code = client.get(f"/v1/codes/1/{item['semantic_id'][1]}").json()
    assert 4 in [each["item_id"] for each in code["items"]]
    assert code["count"] >= len(code["items"])
    near = client.get("/v1/items/4/similar?count=3").json()["items"]
    assert len(near) == 3
    assert near[0]["cosine"] >= near[1]["cosine"]
    assert [each["item_id"] for each in client.get("/v1/items?words=12").json()["items"]][:1] == [
        12
    ]
    values = client.get("/v1/attributes/type").json()["values"]
    assert {"value": "boat", "items": 12} in values


@pytest.mark.parametrize(
    "path", ["items/99", "items/x/similar", "codes/99/0", "codes/0/-1", "items/99/picture"]
)
def test_what_is_not_there_is_not_found(client, path) -> None:
    answer = client.get(f"/v1/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


def test_a_recommender_without_ids_is_served(started) -> None:
    client = started(active="popular")
    most = recommended(client, history=[], k=5)[0]
    assert recommended(client, history=[most[0]], k=3) == [most[1:4]]
    items = client.post("/v1/recommend", json={"history": [1], "k": 3, "why": True}).json()
    assert [each["because"] for each in items["results"][0]["items"]] == [None] * 3
    assert client.post("/v1/rank", json={"user_id": 1, "candidates": [1]}).status_code == 409


def test_events_make_histories(client) -> None:
    early = {"time": "2020-01-01T00:00:00Z"}
    happened = [
        {"event_id": "1", "user_id": "ann", "item_id": 9, "kind": "order"},
        {"event_id": "2", "user_id": "ann", "item_id": 5, "kind": "click"} | early,
        {"event_id": "3", "user_id": "ann", "item_id": 30, "kind": "exposure"},
        {"event_id": "4", "user_id": "bob", "item_id": 1, "kind": "click"},
    ]
    kept = client.post("/v1/events", json={"events": [*happened, happened[0]]})
    assert kept.json() == {"accepted": 4, "duplicates": 1}
    assert client.post("/v1/events", json={"events": happened}).json()["duplicates"] == 4
    assert recommended(client, user_id="ann") == recommended(client, history=[5, 9])
    assert recommended(client, user_id="nobody") == recommended(client, history=[])
    ranked = client.post("/v1/rank", json={"user_id": "ann", "candidates": [1, 2]}).json()["items"]
    asked = {"user_id": "ann", "candidates": [1, 2], "history": [5, 9]}
    assert ranked == client.post("/v1/rank", json=asked).json()["items"]


def test_the_open_inference_protocol(client) -> None:
    assert client.get("/v2/models/recommender").json()["versions"] == ["first"]
    assert client.get("/v2/models/recommender/ready").status_code == 200
    assert client.get("/v2/models/another").status_code == 422
    tensor = {"name": "history", "datatype": "BYTES", "shape": [2, 2], "data": ["1", "5", "9", ""]}
    asked = {"id": "7", "inputs": [tensor], "parameters": {"k": 3}}
    answer = client.post("/v2/models/recommender/infer", json=asked).json()
    ids, scores = answer["outputs"]
    expected = recommended(client, histories=[[1, 5], [9]], k=3)
    assert ids["data"] == [str(item) for each in expected for item in each]
    assert (ids["shape"], scores["shape"], answer["id"]) == ([2, 3], [2, 3], "7")
    asked["inputs"][0]["shape"] = [2, 3]
    assert client.post("/v2/models/recommender/infer", json=asked).status_code == 422


def test_figures(client) -> None:
    recommended(client, history=[1])
    client.get("/v1/items/nothing")
    text = client.get("/metrics").text
    assert 'mmq_requests_total{method="POST",route="/v1/recommend",status="200"} 1.0' in text
    assert 'route="/v1/items/{item_id:path}",status="404"' in text
    assert "mmq_batch_users_count 1.0" in text
    assert "mmq_release{" in text

"""What the OpenAPI promises holds for requests that are drawn from it."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip("schemathesis")


@pytest.mark.filterwarnings("ignore")
def test_drawn_requests_are_answered_and_none_fails(client) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    drawn = 0
    for operation in (each.ok() for each in schema.get_all_operations()):
        if operation.path == "/v1/releases/{name}/activate":
            continue  # loading releases is slow, and is tested by itself

        @given(case=operation.as_strategy())
        @settings(max_examples=12, suppress_health_check=list(HealthCheck), deadline=None)
        def check(case) -> None:
            nonlocal drawn
            drawn += 1
            case.headers = {**(case.headers or {}), "host": "testserver"}
            answer = case.call(session=client)
            assert answer.status_code < 500, (case, answer.text)

        check()
    assert drawn > 100


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    ),
    path=st.sampled_from(["recommend", "rank", "encode", "events"]),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_json_brings_the_service_down(client, value, path) -> None:
    body = json.dumps(value).encode()
    answer = client.post(f"/v1/{path}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert set(answer.json()) == {"error"}

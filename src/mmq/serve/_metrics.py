"""Figures of a running service, in Prometheus's form."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmq.release import ReleaseName

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_USERS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What is counted; one object for each application, so that tests do not share figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("mmq_requests", "Requests.", ["route", "method", "status"], **of)
        self.seconds = Histogram(
            "mmq_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, **of
        )
        self.users = Histogram(
            "mmq_batch_users", "Users that the model answered at once.", buckets=_USERS, **of
        )
        self.waiting = Gauge("mmq_waiting_users", "Users that wait for the model.", **of)
        self.swaps = Counter("mmq_swaps", "Activations of a release.", ["outcome"], **of)
        self.events = Counter("mmq_events", "Events by what became of them.", ["outcome"], **of)
        self.release = Gauge("mmq_release", "1 for the active one.", ["name", "fingerprint"], **of)

    def activated(self, release: ReleaseName) -> None:
        """Another release is active."""
        self.release.clear()
        self.release.labels(*release).set(1)

    def text(self) -> bytes:
        """All figures."""
        return generate_latest(self.registry)


class Measured:
    """Counts and times the requests of an application.

    Args:
        app: that is measured.
        metrics: where figures go.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note its status and time."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # paths have no bound, routes do
            self._metrics.requests.labels(route, _method(scope), str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)


def _method(scope: Scope) -> str:
    known = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")
    return scope["method"] if scope["method"] in known else "other"

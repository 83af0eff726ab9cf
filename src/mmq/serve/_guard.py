"""Who may ask: keys in a header, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mmq.serve._problems import problem

HEADER = "x-api-key"
OPEN = frozenset({"/", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
"""Paths that anybody may ask: they show nothing of a catalogue."""
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "testserver"})


class Guard:
    """Lets requests through that carry a key; where there are no keys, those of this machine.

    Without keys a page of another site could ask through its visitor's browser: requests that name
    another host or come from another origin are refused.

    Args:
        app: that is guarded.
        keys: that may ask; none where only this machine can.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app, self._keys = app, [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 or 403."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            refused = self._refused(Headers(scope=scope))
            if refused is not None:
                headers = {"WWW-Authenticate": "Bearer"} if refused[0] == 401 else {}
                await problem(*refused, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refused(self, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence; None for what may pass."""
        if not self._keys:
            return _foreign(headers)
        given = _key(headers)
        if given is None:
            return 401, "this needs a key; send it in the header X-API-Key"
        known = [hmac.compare_digest(given.encode(), key) for key in self._keys]  # all, always
        return None if any(known) else (403, "the key is not one of this service's; check it")


def _key(headers: Headers) -> str | None:
    """The key of a request: of its own header, or as a bearer token."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get(HEADER) or (token.strip() if scheme.lower() == "bearer" and token else None)


def _foreign(headers: Headers) -> tuple[int, str] | None:
    host, origin = headers.get("host", ""), headers.get("origin")
    if (urlsplit(f"//{host}").hostname or "") not in _LOCAL:
        return 403, "without keys this service answers its own machine alone; ask 127.0.0.1"
    if origin is not None and urlsplit(origin).netloc != host:
        return 403, "without keys this service answers no pages of other sites"
    return None

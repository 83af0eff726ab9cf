"""How much a client may send, and how long it may take to."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmq.serve._problems import problem
from mmq.serve._wire import BODY

_TOO_LARGE = 413, f"the body is longer than {BODY:,} bytes; send less at a time"
_TOO_SLOW = 408, "the body did not come in time; send it at once"


class Bounds:
    """Reads a request's body before anything else does, and refuses what is too long or too slow.

    The length is what is counted, whatever the header says.

    Args:
        app: that is given the body.
        timeout_s: seconds in which all of it has to be there.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app, self._timeout_s = app, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413 or 408."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(_read(Headers(scope=scope), receive), self._timeout_s)
        except TimeoutError:
            await problem(*_TOO_SLOW, {"Connection": "close"})(scope, receive, send)
            return
        if body is None:
            await problem(*_TOO_LARGE, {"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, _again(body, receive), send)


async def _read(headers: Headers, receive: Receive) -> bytes | None:
    """The whole body; None where it is too long."""
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length[:20]) > BODY:
        return None
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > BODY:
            return None
        parts.append(part)
        more = message.get("more_body", False)  # a client that left sends no more
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives the body that was read, and then whatever comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed

"""What went wrong, as the one JSON form that clients are told it in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mmq.errors import UserError

_log = logging.getLogger("mmq.serve")
_SHOWN = 200


class ServiceError(Exception):
    """Something that a client is told.

    Args:
        status: of HTTP.
        message: one sentence that says what was wrong and what to do.
        retry_after: seconds after which the same request may do better.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


def crowded() -> ServiceError:
    """That too many wait."""
    return ServiceError(429, "too many requests wait already; come again in a second", 1)


def overdue() -> ServiceError:
    """That an answer took too long."""
    return ServiceError(504, "no answer in time; come again when there is less load", 1)


def problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """``{"error": {"status", "code", "message", "request_id"}}``."""
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    told = {"status": status, "code": code, "message": message, "request_id": correlation_id.get()}
    return JSONResponse({"error": told}, status, dict(headers or {}))


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an application in the one form."""
    app.add_exception_handler(ServiceError, _of_service)
    app.add_exception_handler(UserError, _of_user)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_bug)


async def _of_service(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return problem(error.status, error.message, error.headers)


async def _of_user(_: Request, error: Exception) -> JSONResponse:
    return problem(422, str(error))


async def _of_validation(_: Request, error: Exception) -> JSONResponse:
    """What was sent is not repeated: it may be long, or no JSON (NaN)."""
    assert isinstance(error, RequestValidationError)
    first: Mapping[str, Any] = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return problem(422, f"{place[:_SHOWN]}: {message[:_SHOWN]}; see /docs for what is expected")


async def _of_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail)[:_SHOWN], error.headers)


async def _of_bug(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the service failed at this; tell its keeper the request id")

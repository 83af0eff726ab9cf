"""Running the application under uvicorn, and ending it so that no request is lost."""

from __future__ import annotations

import asyncio
import json
import os
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from mmq.serve._app import create_app
from mmq.serve._settings import ServeSettings

_ENVIRONMENT = "MMQ_SERVE"
"""Variable that carries the settings to processes that answer."""
_LONGEST_END = 30


def serve(settings: ServeSettings) -> None:
    """Serve until a signal ends it.

    Raises:
        SettingsError: no key is set, and others than this machine could ask.
        UserError: there is no release that can be loaded.
    """
    app = create_app(settings)
    shared: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "server_header": False,
        "timeout_graceful_shutdown": _LONGEST_END,
        "access_log": False,
    }
    if settings.workers == 1:
        Server(uvicorn.Config(app, **shared), app, settings.drain_s).run()
        return
    # which release is active stands in the state by now: one that is started anew goes on with that
    os.environ[_ENVIRONMENT] = json.dumps(settings.to_dict() | {"active": None})
    uvicorn.run(
        "mmq.serve._server:app_of_environment", factory=True, workers=settings.workers, **shared
    )


def app_of_environment() -> FastAPI:
    """The application of settings that another process put into the environment."""
    return create_app(ServeSettings.parse(json.loads(os.environ[_ENVIRONMENT])))


class Server(uvicorn.Server):
    """Answers on for a while after SIGTERM, and says meanwhile that it is not ready.

    So those who send requests have time to find another one. A second signal ends it at once.

    Args:
        config: of uvicorn.
        app: whose service is told.
        drain_s: seconds.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_s: float) -> None:
        super().__init__(config)
        self._app, self._drain_s, self._ending = app, drain_s, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        service = getattr(self._app.state, "service", None)
        if self._ending or service is None or not self._drain_s:
            super().handle_exit(sig, frame)
            return
        self._ending = service.draining = True
        asyncio.get_running_loop().call_later(self._drain_s, super().handle_exit, sig, frame)

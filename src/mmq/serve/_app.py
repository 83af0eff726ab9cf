"""The application: routes, and what every request passes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI

from mmq._version import __version__
from mmq.serve._bounds import Bounds
from mmq.serve._control import control
from mmq.serve._events import EventStore
from mmq.serve._guard import Guard
from mmq.serve._metrics import Measured, Metrics
from mmq.serve._open_inference import open_inference
from mmq.serve._page import page
from mmq.serve._problems import add_handlers
from mmq.serve._routes import routes
from mmq.serve._service import running
from mmq.serve._settings import ServeSettings
from mmq.serve._swap import Swap
from mmq.serve._wire import ProblemResponse

_ERRORS = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 504)


def create_app(settings: ServeSettings) -> FastAPI:
    """An ASGI application that serves a folder of releases.

    Args:
        settings: where they are, who may ask, how much at a time.

    Raises:
        SettingsError: no key is set, and others than this machine could ask.
        DataError: there is no release, or the database of events cannot be opened.
        FormatError: the release is damaged.
    """
    keys, metrics = settings.read_keys(), Metrics()
    swap = Swap(settings.releases, settings.state_folder, metrics)
    swap.begin(settings.active)
    events = EventStore(settings.events_url)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, metrics, swap, events) as service:
            app.state.service = service
            yield

    app = FastAPI(
        title="mmq",
        summary="Recommendations by semantic IDs.",
        version=__version__,
        lifespan=lifespan,
        responses={status: {"model": ProblemResponse} for status in _ERRORS},
    )
    for router in (routes, control, open_inference, page):
        app.include_router(router)
    add_handlers(app)
    app.add_middleware(Bounds, timeout_s=settings.timeout_s)
    app.add_middleware(Guard, keys=keys)
    app.add_middleware(Measured, metrics=metrics)
    app.add_middleware(CorrelationIdMiddleware)
    return app

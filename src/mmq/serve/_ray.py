"""The same application as a deployment of Ray Serve  [extra: ray]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from mmq.errors import MissingExtraError
from mmq.serve._app import create_app
from mmq.serve._settings import ServeSettings

if TYPE_CHECKING:
    from ray.serve import Application


def ray_application(settings: ServeSettings, replicas: int = 1) -> Application:
    """What ``ray.serve.run`` takes: replicas that each load the active release.

    They follow each other's swaps where they share the state folder; SQLite needs them on one
    machine, PostgreSQL does not.

    Args:
        settings: of each replica; ``host``, ``port``, ``workers`` and ``drain_s`` are Ray's affair,
            but a ``host`` that others can reach wants keys as ever. A replica that is started anew
            begins with ``active`` again, so leave it out once there is a state.
        replicas: how many.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    try:
        from ray import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "ray", "ray") from error

    def build() -> FastAPI:
        return create_app(settings)  # in the replica: a model does not travel

    deployed = serve.deployment(
        name="mmq", num_replicas=replicas, max_ongoing_requests=settings.queue
    )(serve.ingress(build)())
    application: Application = deployed.bind()
    return application

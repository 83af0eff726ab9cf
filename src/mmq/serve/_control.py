"""Routes for those who run the service: releases, health, figures."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from mmq.serve import _wire as wire
from mmq.serve._problems import ServiceError
from mmq.serve._routes import Active, answer

control = APIRouter()


@control.get("/v1/releases", response_model=wire.ReleasesResponse, tags=["releases"])
async def list_releases(service: Active) -> Response:
    """All releases, and which of them is active."""
    swap = service.swap
    manifests, damaged = await service.lane.run(swap.manifests)
    active = swap.active.identity
    kept = {"name", "fingerprint", "created", "items", "new_items", "models"}
    releases = [
        {**each.model_dump(include=kept), "active": each.identity == active} for each in manifests
    ]
    content = {"active": active._asdict(), "previous": swap.previous, "releases": releases}
    return JSONResponse({**content, "damaged": damaged})


@control.post(
    "/v1/releases/{name}/activate", response_model=wire.ActivatedResponse, tags=["releases"]
)
async def activate(name: str, service: Active) -> Response:
    """Load a release beside the active one, check it, and let it take its place.

    Where it cannot be loaded the active one goes on (409).
    """
    release = await service.swap.activate(name)
    return answer(release, {"previous": service.swap.previous})


@control.post("/v1/releases/rollback", response_model=wire.ActivatedResponse, tags=["releases"])
async def roll_back(service: Active) -> Response:
    """Let the release before the active one take its place again."""
    release = await service.swap.roll_back()
    return answer(release, {"previous": service.swap.previous})


@control.get("/health/live", tags=["health"])
async def live() -> dict[str, str]:
    """That the process answers."""
    return {"status": "live"}


@control.get("/health/ready", tags=["health"])
async def ready(service: Active) -> dict[str, str]:
    """That requests are welcome; 503 once the service is about to end."""
    if service.draining:
        raise ServiceError(503, "the service is about to end; ask another one", 1)
    return {"status": "ready"}


@control.get("/metrics", response_class=Response, tags=["health"])
async def metrics(service: Active) -> Response:
    """Figures in Prometheus's form."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

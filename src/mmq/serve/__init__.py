"""The service: releases behind HTTP, and a page to look at them  [extra: serve]."""

from mmq.errors import MissingExtraError

try:
    from mmq.serve._app import create_app
    from mmq.serve._ray import ray_application
    from mmq.serve._server import serve
    from mmq.serve._settings import ServeSettings
except ModuleNotFoundError as error:
    if (error.name or "mmq").startswith("mmq"):
        raise
    raise MissingExtraError(error.name or "fastapi", "serve") from error

__all__ = ["ServeSettings", "create_app", "ray_application", "serve"]

"""``mmq serve``: a folder of releases behind HTTP, and a page to look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmq.cli import _options as opt


def command(
    releases: Annotated[
        Path, typer.Argument(metavar="RELEASES", help="Folder of releases.", show_default=False)
    ],
    active: Annotated[
        str | None,
        typer.Option("--active", help="The release to begin with; else the one of last time."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; others than this need keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen at.")] = 8000,
    workers: Annotated[int, typer.Option("--workers", help="Processes that answer.")] = 1,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="File of keys that may ask, one a line.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Folder of state and events; in RELEASES if not given."),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option("--events", help="Database: sqlite:///... or postgresql+psycopg://..."),
    ] = None,
    assignments: opt.Set = None,
    config: opt.Config = None,
) -> None:
    """Serve recommendations, until it is interrupted.

    Example: mmq serve releases --port 8000
    """
    from mmq.serve import ServeSettings, serve
    from mmq.settings import gather

    given = {
        "releases": releases,
        "active": active,
        "host": host,
        "port": port,
        "workers": workers,
        "keys": keys,
        "state": state,
        "events": events,
    }
    settings = ServeSettings.parse(gather(config, assignments or []) | given)
    address = f"http://{host}:{port}/"
    typer.echo(f"mmq serves {releases} at {address} (Ctrl-C ends it)", err=True)
    serve(settings)

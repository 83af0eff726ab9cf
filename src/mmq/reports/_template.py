"""Filling templates: pages that need no other file and no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mmq._artifacts import write_file
from mmq._version import __version__

HERE = Path(__file__).parent


def write_page(path: Path, template: str, context: Mapping[str, Any], folder: Path = HERE) -> None:
    """Fill a template, whole or not at all; one of another folder may extend those of this one."""
    environment = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "cosine": _cosine}
    environment.globals["whole"] = "{:,}".format
    page = environment.get_template(template).render(version=__version__, **context)
    with write_file(path) as temporary:
        temporary.write_text(page, "utf-8")


def percent(share: float, digits: int = 1) -> str:
    """A share in percent; only all reads 100% and only none reads 0%.

    >>> percent(1.0), percent(0.9999), percent(0.125), percent(0.0)
    ('100%', '>99.9%', '12.5%', '0%')
    """
    step = 10.0 ** -(digits + 2)
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if share > 1 - step / 2:
        return f">{1 - step:.{digits}%}"
    return f"<{step:.{digits}%}" if share < step / 2 else f"{share:.{digits}%}"


def _cosine(value: float) -> str:
    if math.isnan(value):  # of no pair of items
        return "-"
    return f"{round(value, 2) + 0.0:.2f}"  # adding zero turns -0.0 into 0.0

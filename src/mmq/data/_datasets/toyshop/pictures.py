"""Pictures, drawn: they show the shared and the image factors, and nothing of the others.

A toy is a list of polygons in its own coordinates (x right, y down, both about -1 to 1), each with
a tone of the toy's colour. Turning, scaling and moving them is one affine map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from mmq.data._datasets.toyshop.factors import FACTORS

PICTURE_SIZE = 96
"""Width and height in pixels."""

_CANVAS = 2 * PICTURE_SIZE  # drawn twice as large, halved at the end: smooth edges

Colour = tuple[int, int, int]

_COLOURS: Mapping[str, Colour] = {
    "green": (66, 160, 71),
    "purple": (126, 72, 184),
    "pink": (240, 130, 185),
    "brown": (140, 92, 52),
    "turquoise": (42, 188, 190),
    "charcoal": (78, 80, 90),
}
_BADGES: Mapping[str, Colour] = {
    "red": (214, 36, 40),
    "gold": (248, 200, 28),
    "blue": (32, 74, 208),
}
_SCALES = {"small": 0.44, "medium": 0.66, "large": 0.96}


class _Shape(NamedTuple):
    points: np.ndarray  # (corners, 2)
    tone: str


def _box(left: float, top: float, right: float, bottom: float, tone: str = "body") -> _Shape:
    return _poly([(left, top), (right, top), (right, bottom), (left, bottom)], tone)


def _poly(points: list[tuple[float, float]], tone: str = "body") -> _Shape:
    return _Shape(np.array(points, dtype=np.float64), tone)


def _disc(x: float, y: float, rx: float, tone: str = "body", ry: float | None = None) -> _Shape:
    angle = np.arange(28) * (2 * math.pi / 28)
    return _Shape(np.stack([x + rx * np.cos(angle), y + (ry or rx) * np.sin(angle)], axis=1), tone)


def _wheel(x: float, y: float, radius: float) -> list[_Shape]:
    return [_disc(x, y, radius, "ink"), _disc(x, y, radius * 0.45, "white")]


@cache
def _toy(name: str) -> tuple[_Shape, ...]:
    return tuple(_TOYS[name]())


def _ball() -> list[_Shape]:
    panels = [_disc(0, 0, 1.05, "ink")]
    for number, tone in enumerate(("body", "white", "dark", "body", "white", "light")):
        angle = np.linspace(number, number + 1, 8) * (math.pi / 3) + 0.3
        rim = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        panels.append(_Shape(np.concatenate([[[-0.15, -0.2]], rim]), tone))
    return [*panels, _disc(-0.15, -0.2, 0.16, "ink"), _disc(-0.15, -0.2, 0.1, "white")]


def _car() -> list[_Shape]:
    cabin = _poly([(-0.55, -0.1), (-0.3, -0.6), (0.3, -0.6), (0.55, -0.1)], "dark")
    panes = [_poly([(-0.38, -0.12), (-0.22, -0.48), (-0.04, -0.48), (-0.04, -0.12)], "white")]
    panes += [_poly([(0.38, -0.12), (0.22, -0.48), (0.04, -0.48), (0.04, -0.12)], "white")]
    hull = _poly([(-1, -0.12), (0.9, -0.12), (1.02, 0.1), (1.02, 0.42), (-1, 0.42)])
    lamp = _disc(0.92, 0.08, 0.09, "light")
    return [cabin, *panes, hull, lamp, *_wheel(-0.55, 0.45, 0.27), *_wheel(0.55, 0.45, 0.27)]


def _bear() -> list[_Shape]:
    ears = [_disc(s * 0.42, -0.86, 0.22) for s in (-1, 1)]
    inner = [_disc(s * 0.42, -0.86, 0.11, "light") for s in (-1, 1)]
    limbs = [_disc(s * 0.62, 0.18, 0.24, "dark", 0.3) for s in (-1, 1)]
    feet = [_disc(s * 0.42, 0.86, 0.26, "dark") for s in (-1, 1)]
    face = [_disc(s * 0.19, -0.58, 0.07, "ink") for s in (-1, 1)]
    snout = [_disc(0, -0.36, 0.21, "light", 0.16), _disc(0, -0.42, 0.08, "ink")]
    trunk = [_disc(0, 0.36, 0.58), _disc(0, 0.4, 0.34, "light")]
    return [*limbs, *feet, *trunk, *ears, *inner, _disc(0, -0.5, 0.52), *face, *snout]


def _blocks() -> list[_Shape]:
    shapes = []
    for left, top, tone in ((-0.92, 0.04, "body"), (0.04, 0.04, "dark"), (-0.44, -0.88, "light")):
        shapes += [_box(left, top, left + 0.88, top + 0.88, "ink")]
        shapes += [_box(left + 0.06, top + 0.06, left + 0.82, top + 0.82, tone)]
        shapes += [_box(left + 0.26, top + 0.26, left + 0.62, top + 0.62, "white")]
    return shapes


def _kite() -> list[_Shape]:
    sail = [_poly([(0, -1.05), (0.66, -0.3), (0, 0.5), (-0.66, -0.3)])]
    panes = [_poly([(0, -1.05), (0.66, -0.3), (0, -0.3)], "light")]
    panes += [_poly([(0, 0.5), (-0.66, -0.3), (0, -0.3)], "dark")]
    tail = [_poly([(-0.03, 0.5), (0.03, 0.5), (0.28, 0.8), (0.1, 1.1), (0.05, 1.08)], "ink")]
    bows = [
        _poly([(x - 0.17, y - 0.1), (x + 0.17, y + 0.1), (x + 0.17, y - 0.1), (x - 0.17, y + 0.1)])
        for x, y in ((0.14, 0.68), (0.2, 0.92))
    ]
    return [*tail, *sail, *panes, *bows]


def _robot() -> list[_Shape]:
    head = [_box(-0.04, -1.1, 0.04, -0.8, "ink"), _disc(0, -1.08, 0.1, "dark")]
    head += [_box(-0.42, -0.86, 0.42, -0.28)]
    head += [_disc(s * 0.19, -0.62, 0.12, "white") for s in (-1, 1)]
    head += [_disc(s * 0.19, -0.62, 0.05, "ink") for s in (-1, 1)]
    head += [_box(-0.22, -0.42, 0.22, -0.35, "ink")]
    arms = [_box(s * 0.78 - 0.12, -0.18, s * 0.78 + 0.12, 0.5, "dark") for s in (-1, 1)]
    legs = [_box(s * 0.3 - 0.16, 0.56, s * 0.3 + 0.16, 1.05, "dark") for s in (-1, 1)]
    chest = [_box(-0.6, -0.22, 0.6, 0.6), _box(-0.36, -0.04, 0.36, 0.34, "white")]
    chest += [_disc(x, 0.15, 0.08, "ink") for x in (-0.2, 0.0, 0.2)]
    return [*arms, *legs, *head, *chest]


def _boat() -> list[_Shape]:
    mast = _box(-0.05, -1.05, 0.05, 0.36, "ink")
    sails = [_poly([(0.1, -1.0), (0.86, 0.2), (0.1, 0.2)], "light")]
    sails += [_poly([(-0.1, -0.78), (-0.1, 0.2), (-0.66, 0.2)], "white")]
    hull = _poly([(-1, 0.34), (1.02, 0.34), (0.66, 0.86), (-0.66, 0.86)])
    return [
        mast,
        *sails,
        hull,
        _poly([(-0.93, 0.46), (0.94, 0.46), (0.86, 0.58), (-0.86, 0.58)], "dark"),
    ]


def _train() -> list[_Shape]:
    boiler = [_box(-0.3, -0.28, 0.9, 0.4), _disc(0.9, 0.06, 0.34, "dark")]
    chimney = [_box(0.44, -0.72, 0.66, -0.28, "dark"), _box(0.36, -0.84, 0.74, -0.7, "ink")]
    smoke = [_disc(0.3, -0.98, 0.14, "white"), _disc(0.02, -1.05, 0.19, "white")]
    cab = [_box(-0.95, -0.72, -0.3, 0.4, "dark"), _box(-0.8, -0.55, -0.45, -0.15, "white")]
    cab += [_box(-1.02, -0.84, -0.22, -0.7, "ink")]
    wheels = [shape for x in (-0.62, 0.0, 0.6) for shape in _wheel(x, 0.55, 0.28)]
    return [*smoke, *chimney, *boiler, *cab, *wheels]


_TOYS = {
    "ball": _ball,
    "car": _car,
    "bear": _bear,
    "blocks": _blocks,
    "kite": _kite,
    "robot": _robot,
    "boat": _boat,
    "train": _train,
}


def draw_picture(factors: Mapping[str, int], rng: np.random.Generator) -> Image.Image:
    """An RGB picture of :data:`PICTURE_SIZE` pixels of one toy.

    Args:
        factors: factor name -> level; only the shared and the image ones are read.
        rng: place, turn, size, shade and grain of this picture.
    """
    names = {name: FACTORS[name].levels[level] for name, level in factors.items()}
    shade = 1 + 0.06 * rng.standard_normal()
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), _tint((236, 232, 222), shade))
    pen = ImageDraw.Draw(canvas)
    _draw_background(pen, names["background"], _tint((206, 202, 190), shade), rng)
    _draw_toy(pen, names["toy"], _COLOURS[names["colour"]], _SCALES[names["size"]], rng)
    _draw_badge(pen, _BADGES[names["badge"]], rng)
    pixels = np.asarray(canvas.reduce(2)).astype(np.int16)
    pixels += rng.integers(-4, 5, size=pixels.shape, dtype=np.int16)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _draw_background(
    pen: ImageDraw.ImageDraw, name: str, colour: Colour, rng: np.random.Generator
) -> None:
    step = 32
    shift = int(rng.integers(step))
    starts = range(shift - step, _CANVAS + step, step)
    if name == "stripes":
        for x in starts:
            pen.rectangle((x, 0, x + step // 2 - 1, _CANVAS), fill=colour)
    elif name == "dots":
        for x in starts:
            for y in starts:
                pen.ellipse((x, y, x + 17, y + 17), fill=colour)
    elif name == "checks":
        for column, x in enumerate(starts):
            for y in starts:
                top = y + (column % 2) * step // 2
                pen.rectangle((x, top, x + step - 1, top + step // 2 - 1), fill=colour)


def _draw_toy(
    pen: ImageDraw.ImageDraw, name: str, colour: Colour, scale: float, rng: np.random.Generator
) -> None:
    angle = 0.12 * rng.standard_normal()
    radius = 0.37 * _CANVAS * scale * (1 + 0.05 * rng.standard_normal())
    centre = _CANVAS * (np.array([0.5, 0.41]) + rng.uniform(-0.03, 0.03, size=2))
    turn = radius * np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    body = _tint(colour, 1 + 0.06 * rng.standard_normal())
    tones = {
        "body": body,
        "dark": _tint(body, 0.68),
        "light": _tint(body, 1.3, lift=36),
        "ink": (30, 30, 34),
        "white": (250, 250, 248),
    }
    for shape in _toy(name):
        corners = (shape.points @ turn + centre).ravel().tolist()
        pen.polygon(corners, fill=tones[shape.tone])


def _draw_badge(pen: ImageDraw.ImageDraw, colour: Colour, rng: np.random.Generator) -> None:
    """A ribbon along the foot of the picture with a rosette on it, in the badge's colour."""
    colour = _tint(colour, 1 + 0.04 * rng.standard_normal())
    top = round(_CANVAS * (0.84 + rng.uniform(-0.015, 0.015)))
    pen.rectangle((0, top, _CANVAS, _CANVAS), fill=colour)
    pen.rectangle((0, top + 4, _CANVAS, top + 6), fill=(255, 255, 255))
    centre = np.array([_CANVAS * rng.uniform(0.78, 0.86), top + 4.0])
    rosette, star = _disc(0, 0, 24).points, _star(13)
    pen.polygon((rosette * 1.16 + centre).ravel().tolist(), fill=(255, 255, 255))
    pen.polygon((rosette + centre).ravel().tolist(), fill=colour)
    pen.polygon((star + centre).ravel().tolist(), fill=(255, 255, 255))


@cache
def _star(radius: float) -> np.ndarray:
    angle = np.arange(10) * (math.pi / 5) - math.pi / 2
    reach = np.where(np.arange(10) % 2 == 0, radius, 0.42 * radius)
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)


def _tint(colour: Colour, factor: float, lift: int = 0) -> Colour:
    red, green, blue = (max(0, min(255, round(part * factor) + lift)) for part in colour)
    return red, green, blue

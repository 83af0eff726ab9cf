from __future__ import annotations

import base64
from xml.etree import ElementTree

import numpy as np

from mmq.reports._plots import bars_plot, usage_plot


def svg(uri: str) -> ElementTree.Element:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/svg+xml;base64"
    root = ElementTree.fromstring(base64.b64decode(data))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return root


def filled(uri: str, colour: str) -> int:
    return sum(colour in element.get("style", "") for element in svg(uri).iter())


def test_usage_is_drawn_in_its_colour_and_the_same_each_time() -> None:
    plot = usage_plot(np.array([5, 0, 9, 1]), "#123456")
    assert filled(plot, "#123456") > 0
    assert plot == usage_plot(np.array([9, 5, 1, 0]), "#123456")  # sorted, whatever the order
    assert plot != usage_plot(np.array([9, 5, 2, 0]), "#123456")


def test_large_codebooks_stay_small_pictures() -> None:
    counts = np.random.default_rng(0).integers(0, 50, size=100_000)
    assert len(usage_plot(counts, "#123456")) < 100_000


def test_a_codebook_of_one_code_and_one_without_items() -> None:
    svg(usage_plot(np.array([7]), "#123456"))
    svg(usage_plot(np.array([0, 0]), "#123456"))


def test_bars_have_one_bar_a_part_and_modality() -> None:
    parts = {"fit": {"text": 0.2, "image": 0.4}, "held_out": {"text": 0.5}}
    plot = bars_plot(parts, {"text": "#112233", "image": "#445566"})
    assert filled(plot, "#112233") == 2
    assert filled(plot, "#445566") == 1

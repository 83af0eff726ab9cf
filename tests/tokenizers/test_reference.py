"""What an ID table says of the tokenizer that made it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from mmq.tokenizers import MMQSettings, RQKMeansSettings, RQVAESettings
from mmq.tokenizers._reference import fit_reference, noise_fvu, reference


def made(**changes: Any) -> Any:
    figures = {"fvu_codes": {"fit": 0.5, "held_out": 0.6}, "bound": {"fvu": 0.4, "bits": 12.0}}
    values = {
        "kind": "mmq",
        "positions": {"text": [0], "image": [1]},
        "dimensions": {"text": 4, "image": 2},
        "codebook_sizes": (4, 2),
        "figures": figures,
        "tuned_from": [],
        "settings": MMQSettings(),
    }
    return SimpleNamespace(**{**values, **changes})


def test_it_names_positions_and_what_the_fit_was_worth() -> None:
    assert reference(made(), "ff") == {
        "name": "mmq",
        "fingerprint": "ff",
        "positions": {"text": [0], "image": [1]},
        "fit": {
            "fvu_codes": {"fit": 0.5, "held_out": 0.6},
            "bound": 0.4,
            "noise": noise_fvu({"text": 4, "image": 2}, (4, 2)),
            "noise_setting": "smoothing",
        },
    }
    for settings, name in (
        (MMQSettings(learning="gradient"), "input_noise"),
        (RQVAESettings(), "input_noise"),
        (RQKMeansSettings(), None),
        (None, None),
    ):
        assert reference(made(settings=settings), "ff")["fit"]["noise_setting"] == name
    assert reference(made(tuned_from=["aa"]), "ff")["tuned_from"] == ["aa"]


def test_what_is_not_known_is_none() -> None:
    assert fit_reference(made(figures={})) is None
    assert "fit" not in reference(made(figures={}), "ff")
    found = fit_reference(made(figures={"fvu_codes": {"fit": math.nan, "held_out": None}}))
    assert found is not None
    assert (found["fvu_codes"], found["bound"]) == ({"fit": None, "held_out": None}, None)


def test_noise_of_one_width() -> None:
    assert noise_fvu({"text": 112}, [32] * 6) == pytest.approx(2 ** (-2 * 30 / 112))


def test_noise_of_two_widths_is_coded_where_it_is_spread_widest() -> None:
    """The only bit goes to the narrow modality, whose directions vary more."""
    assert noise_fvu({"text": 4, "image": 2}, [2]) == pytest.approx((1 + 2 * 0.5 * 0.5) / 2)

"""The README card of a saved tokenizer: what it is, on what, how good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmq._model_folder import card


def tokenizer_card(config: Mapping[str, Any]) -> str:
    """Markdown with the settings and the figures of the fit."""
    modalities = ", ".join(f"{name} ({width})" for name, width in config["modalities"].items())
    lines = [
        f"Turns items with the embeddings {modalities} into semantic IDs of "
        f"{len(config['codebook_sizes'])} codes: {', '.join(map(str, config['codebook_sizes']))}.",
        "",
        "```sh",
        "mmq encode catalogue.parquet --tokenizer THIS_FOLDER --out ids.parquet",
        "```",
        "",
    ]
    figures = config.get("figures") or {}
    if figures:
        lines += ["| figure | value |", "|---|---|"]
        lines += [f"| {name} | {text} |" for name, text in _rows(figures)]
        lines += [
            "",
            "L_recon is the squared error of the unit-normed embeddings, summed over dimensions "
            "and modalities; FVU is the fraction of variance unexplained; those of codes are from "
            "the ID alone, the others with gates where the tokenizer has any; entropy is in nats.",
            "",
        ]
    title = f"Semantic-ID tokenizer ({config['tokenizer']})"
    return card(title, "vector-quantization", lines, config)


def _rows(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in figures.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _rows(value, f"{label}, ")
        else:
            rows.append((label, f"{value:.4f}" if isinstance(value, float) else str(value)))
    return rows

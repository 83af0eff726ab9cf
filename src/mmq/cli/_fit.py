"""``mmq fit``: a catalogue -> a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit


def command(
    catalogue: Annotated[Path, typer.Argument(help="The catalogue (Parquet).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the tokenizer to write.")],
    kind: opt.Kind = "mmq",
    fusion: opt.Fusion = None,
    hold_out: Annotated[
        float, typer.Option("--hold-out", help="Share of the items to measure on, not to fit.")
    ] = 0.0,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            help="Fit on so many items drawn at random; 1,024 a codeword, at most 1 GiB of "
            "embeddings, if not given.",
        ),
    ] = None,
    seed: opt.UnsetSeed = None,
    settings: opt.Set = None,
    config: opt.Config = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    log_dir: opt.LogDir = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Fit a tokenizer to a catalogue's embeddings.

    Example: mmq fit catalogue.parquet --out tokenizer --hold-out 0.1 --set codebook_size=256

    A baseline: mmq fit catalogue.parquet --out baseline --tokenizer rqkmeans --fusion separated

    On two GPUs, what learns by gradient: torchrun --nproc-per-node 2 -m mmq fit ...
    --tokenizer rqvae
    """
    from mmq.settings import gather
    from mmq.workflows import Run, fit

    made = fit(
        catalogue,
        out,
        kind,
        settings=with_fusion(kind, fusion, gather(config, settings or [])),
        hold_out=hold_out,
        sample=sample,
        run=Run(seed, device, resume, force, log_dir),
    )
    if made is not None:
        tokenizer, figures = made
        emit(figures, as_json, _lines(figures, tokenizer.settings.has_epochs))


def with_fusion(kind: str, fusion: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the settings, with the fusion where one was asked for.

    Raises:
        SettingsError: an unknown kind, or one that has no choice of fusion.
    """
    from mmq.errors import SettingsError
    from mmq.model import model_class

    known = model_class("tokenizer", kind).settings_class.model_fields
    if fusion is None:
        return dict(values)
    if "fusion" not in known:
        raise SettingsError(
            f"--fusion is not for {kind}, which has experts for all modalities and for each; "
            "leave it out, or choose another --tokenizer"
        )
    return {**values, "fusion": fusion}


FAR = 1.25
"""Times the bound above which a tokenizer is called far from it."""

JOINT = 0.03
"""Share of the error that joint coding can save from which it is worth a sentence."""


def bound_lines(figures: dict[str, Any]) -> list[str]:
    """How far the codes are from what so many bits can say, and what to do about it."""
    bound, error = figures["bound"], figures["fvu_codes"]
    least, part = bound["fvu"], "held_out" if "held_out" in error else "fit"
    lines = [
        f"  bound: no code of {bound['bits']:.0f} bits leaves less than {least:.3f} of Gaussian "
        f"embeddings of this spread; {part.replace('_', ' ')} items are at {error[part]:.3f}, "
        + _distance(error, part, least)
    ]
    gain = 1 - least / bound["fvu_separate"] if bound["fvu_separate"] > 0 else 0.0
    if gain >= JOINT:
        lines.append(
            f"    modalities have much in common: coding them together can save up to {gain:.0%} "
            "of the error, so share experts (mmq) or use --fusion aligned"
        )
    return lines


def _distance(error: dict[str, float], part: str, least: float) -> str:
    if error[part] <= least:
        return "below it: they have structure that no Gaussian has"
    if error[part] <= FAR * least:
        return "close to it"
    if part == "held_out" and error[part] > FAR * error["fit"]:
        return (
            "far from it, and much above those that were fitted: items are few for so many codes; "
            "fit on more, or lower codebook_size"
        )
    return "far from it: set refinement=3, or try --tokenizer mmq"


def _lines(figures: dict[str, Any], trained: bool) -> list[str]:
    lines = [
        f"{figures['tokenizer']} tokenizer of {figures['length']} codes -> {figures['out']}, "
        + (f"{figures['epochs']} epochs " if trained else "")
        + f"in {figures['seconds']:.0f} s ({figures['items_per_second']:,.0f} items/s)"
    ]
    items = figures["items"]
    if "catalogue" in items:
        lines.append(f"  fitted on {items['fit']:,} of {items['catalogue']:,} items, at random")
    for part, fvu in figures["fvu"].items():
        codes, error = figures["fvu_codes"][part], figures["l_recon_codes"][part]
        by_modality = figures["fvu_by_modality"][part]
        each = ", ".join(f"{modality} {value:.3f}" for modality, value in by_modality.items())
        line = f"  {part.replace('_', ' ')}: variance unexplained {codes:.3f}, L_recon {error:.4f}"
        if fvu != codes:
            line += (
                f", from the codes alone; with gates, which are no part of the ID, {fvu:.3f} and "
                f"{figures['l_recon'][part]:.4f}"
            )
        lines.append(f"{line} ({each})")
    lines += bound_lines(figures)
    lines.append(
        f"  codes: entropy {figures['entropy']:.3f} nats, utilisation "
        f"{figures['utilisation']:.3f}, distinct IDs {figures['distinct_share']:.4f} of items"
    )
    return lines

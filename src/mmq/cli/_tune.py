"""``mmq tune``: a catalogue -> good settings of a tokenizer for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmq.cli import _options as opt
from mmq.cli._fit import with_fusion
from mmq.cli._frame import emit

if TYPE_CHECKING:
    from mmq.tokenizers._tuning import Trial, TunePlan, Tuning


def command(
    catalogue: Annotated[Path, typer.Argument(help="The catalogue (Parquet).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the result and of all trials.")],
    kind: opt.Kind = "mmq",
    fusion: opt.Fusion = None,
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Settings to try, the defaults among them.")
    ] = 16,
    hold_out: Annotated[
        float, typer.Option("--hold-out", help="Share of the items that the choice is made on.")
    ] = 0.1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Fix a setting, which is not searched: --set key=value. Repeats."
        ),
    ] = None,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    force: opt.Force = False,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Search the settings of a tokenizer that explain held-out items of a catalogue best.

    Example: mmq tune catalogue.parquet --tokenizer rqvae --fusion separated --out tuned

    Then: mmq fit catalogue.parquet --tokenizer rqvae --config tuned/best.toml --out tokenizer
    """
    from mmq.settings import gather
    from mmq.tokenizers._tuning import TunePlan
    from mmq.workflows import Run, tune

    plan = TunePlan.parse({"trials": trials, "hold_out": hold_out, "seed": seed})
    found, figures = tune(
        catalogue,
        out,
        kind,
        plan=plan,
        settings=with_fusion(kind, fusion, gather(None, settings or [])),
        run=Run(device=device, resume=resume, force=force),
        watch=_Watch(plan),
    )
    emit(figures, as_json, _lines(found, plan, out))


class _Watch:
    """Says on a terminal how every fit went."""

    def __init__(self, plan: TunePlan) -> None:
        self.plan = plan

    def __call__(self, trial: Trial) -> None:
        if not sys.stderr.isatty():
            return
        number = f"trial {trial.number + 1} of {self.plan.trials}"
        epochs = f", {trial.epochs} epochs" if trial.epochs else ""
        print(f"{number}{epochs}: {_score(trial, self.plan)}", file=sys.stderr)


def _score(trial: Trial, plan: TunePlan) -> str:
    if trial.figures is None:
        return f"failed ({trial.error})"
    return f"held-out {plan.figure} {trial.figures[plan.figure]['held_out']:.4f}"


def _lines(found: Tuning, plan: TunePlan, out: Path) -> list[str]:
    failed = sum(trial.error is not None for trial in found.trials)
    lines = [
        f"{found.kind}: {plan.trials} trials, {len(found.trials)} fits"
        + (f" ({failed} failed)" if failed else "")
        + f" in {found.seconds:.0f} s -> {out}",
        f"  defaults: {_score(found.default, plan)}",
    ]
    if found.best.number == 0:
        return [*lines, "  no trial was better than the defaults"]
    drawn = ", ".join(f"{name} = {value}" for name, value in _changed(found).items())
    return [
        *lines,
        f"  trial {found.best.number + 1}: {_score(found.best, plan)} with {drawn}",
        f"  use it: mmq fit CATALOGUE --tokenizer {found.kind} --config {out / 'best.toml'} "
        "--out FOLDER",
    ]


def _changed(found: Tuning) -> dict[str, Any]:
    default = found.default.settings
    return {name: value for name, value in found.best.settings.items() if name not in default}

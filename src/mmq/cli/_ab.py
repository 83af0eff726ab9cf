"""``mmq ab``: online experiments, from the plan to the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.errors import SettingsError

ab_app = typer.Typer(
    help="Online experiments: how long they take, what they showed, what a log says of a release.",
    no_args_is_help=True,
)

_Experiments = Annotated[
    Path,
    typer.Argument(metavar="EXPERIMENTS", help="TOML file of experiments.", show_default=False),
]
_Exposures = Annotated[Path, typer.Option("--exposures", help="Exposures (Parquet).")]
_Events = Annotated[Path, typer.Option("--events", help="Clicks and orders (Parquet).")]
_Name = Annotated[
    str | None, typer.Option("--name", help="The experiment, where the file has several.")
]


@ab_app.command()
def analyse(
    experiments: _Experiments,
    exposures: _Exposures,
    events: _Events,
    name: _Name = None,
    metric: Annotated[
        str, typer.Option("--metric", help="Of the verdict; an unknown one is answered with all.")
    ] = "revenue",
    strata: Annotated[
        Path | None,
        typer.Option("--strata", help="Parquet of user_id, stratum; new and known users without."),
    ] = None,
    settings: opt.Set = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write a row for each arm, stratum and metric.")
    ] = None,
    report: opt.Report = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Say whether an arm earns more, with intervals that may be looked at every day.

    Settings are window_days, before_days, cap_at and head_share. There is no verdict where users
    are not spread over the arms as they should be, or where the logs cannot be right.

    Example: mmq ab analyse experiments.toml --exposures exposures.parquet --events events.parquet
    """
    from mmq.settings import gather
    from mmq.workflows import AbLogs, ab_analyse

    result = ab_analyse(
        experiments,
        AbLogs(exposures, events, strata),
        name=name,
        metric=metric,
        windows=gather(None, settings or []),
        csv=csv,
        report=report,
        force=force,
    )
    emit(result, as_json, _analysis_lines(result))


@ab_app.command()
def plan(
    effect: Annotated[
        float, typer.Option("--effect", min=1e-6, help="Relative, the smallest worth showing.")
    ] = 0.02,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Share of users who convert.")
    ] = None,
    mean: Annotated[float | None, typer.Option("--mean", help="Of a user's figure.")] = None,
    sd: Annotated[float | None, typer.Option("--sd", help="Its spread over users.")] = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="A log (Parquet) to measure all of it by.")
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", help="Measured in the log: conversion, orders or revenue.")
    ] = "revenue",
    users_per_day: Annotated[
        float | None, typer.Option("--users-per-day", help="New users a day, where it is known.")
    ] = None,
    share: Annotated[
        float, typer.Option("--share", help="Of the experiment's users in the treatment.")
    ] = 0.5,
    coverage: Annotated[
        float, typer.Option("--coverage", help="Share of all users in the experiment.")
    ] = 1.0,
    power: Annotated[float, typer.Option("--power", help="Probability to show the effect.")] = 0.8,
    settings: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Say how many users and days an experiment takes.

    Example: mmq ab plan --effect 0.02 --rate 0.05 --users-per-day 4000 --coverage 0.1
    """
    from mmq.ab import Baseline
    from mmq.settings import gather
    from mmq.workflows import ab_plan

    if sum(each is not None for each in (rate, mean, events)) != 1 or (mean is None) != (
        sd is None
    ):
        raise SettingsError("give one of --rate, --mean with --sd, or --events")
    if events is not None and users_per_day is not None:
        raise SettingsError("--events tells the users a day as well; leave out --users-per-day")
    baseline: Baseline | Path
    if rate is not None:
        baseline = Baseline.of_rate(rate, users_per_day)
    elif mean is not None and sd is not None:
        baseline = Baseline(mean, sd, 0.0, users_per_day)
    else:
        assert events is not None
        baseline = events
    windows = gather(None, settings or [])
    options = {"share": share, "coverage": coverage, "power": power}
    result = ab_plan(baseline, effect, metric=metric, windows=windows, **options)
    emit(result, as_json, _plan_lines(result))


@ab_app.command()
def replay(
    exposures: _Exposures,
    events: _Events,
    target: Annotated[
        Path,
        typer.Option(
            "--target",
            help="Parquet of event_id with probability, or with lists of items and scores.",
        ),
    ],
    temperature: Annotated[
        float, typer.Option("--temperature", help="At which the target draws from its scores.")
    ] = 1.0,
    reward: Annotated[
        str, typer.Option("--reward", help="Of a slate: clicks, orders or revenue.")
    ] = "revenue",
    hours: Annotated[
        float, typer.Option("--hours", min=0, help="Within which an event follows a slate.")
    ] = 24.0,
    experiments: Annotated[
        Path | None, typer.Option("--experiments", help="TOML file; all exposures without.")
    ] = None,
    name: _Name = None,
    seed: opt.Seed = 0,
    as_json: opt.Json = False,
) -> None:
    """Say what another release would have earned, from slates that were drawn at random.

    Example: mmq ab replay --exposures exposures.parquet --events events.parquet
    --target scores.parquet --temperature 0.5
    """
    from mmq.ab import Target, read_experiment
    from mmq.workflows import AbLogs, ab_replay

    experiment = None if experiments is None else read_experiment(experiments, name)
    result = ab_replay(
        AbLogs(exposures, events),
        Target(target, temperature),
        experiment=experiment,
        reward=reward,
        hours=hours,
        seed=seed,
    )
    emit(result, as_json, _replay_lines(result))


@ab_app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    settings: opt.Set = None,
    experiments: Annotated[
        Path | None, typer.Option("--experiments", help="TOML file; two even arms without.")
    ] = None,
    name: _Name = None,
    seed: opt.Seed = 0,
    as_json: opt.Json = False,
) -> None:
    """Run an experiment in a simulated market, where the true effect is known.

    Shoppers of the generated toyshop visit, look and buy by their tastes and budgets. Settings are
    those of the market, such as shoppers=50000 or sight.treatment=0.6.

    Example: mmq ab simulate --out market --set days=21
    """
    from mmq.ab import read_experiment
    from mmq.settings import gather
    from mmq.workflows import ab_simulate

    experiment = None if experiments is None else read_experiment(experiments, name)
    result = ab_simulate(out, market=gather(None, settings or []), experiment=experiment, seed=seed)
    emit(result, as_json, _simulation_lines(result))


def _analysis_lines(result: Mapping[str, Any]) -> Iterator[str]:
    for arm, figures in result["arms"].items():
        yield (
            f"{arm}: {figures['users']:,} users, {figures['conversion']:.2%} converted, "
            f"{figures['orders']:.4g} orders and {figures['revenue']:.4g} revenue per user"
        )
    yield from (f"{sentence}." for sentence in result["verdict"])
    yield from (f"  note: {each}" for each in result["warnings"])


def _plan_lines(result: Mapping[str, Any]) -> Iterator[str]:
    users, days = result["users"], result["days"]
    yield (
        f"an effect of {result['effect']:.1%} shows with a probability of {result['power']:.0%} "
        f"after {users['fixed']:,} users of both arms, with one look at the end"
    )
    yield f"  with a look every day, after {users['anytime']:,} at the latest"
    if days["fixed"] is not None:
        yield f"  that is {days['fixed']:,} days, or {days['anytime']:,}, the window included"
        yield f"  four weeks of users show an effect of {result['effect_in_four_weeks']:.1%}"


def _replay_lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{result['slates']:,} slates of {result['users']:,} users were drawn at random; "
        f"{result['reward']} a slate: {result['logged']:.4g}"
    )
    for name, found in result["estimates"].items():
        low, high = found["interval"]
        least, most = found["effect_interval"]
        yield (
            f"  {name.replace('_', ' ')}: {found['value']:.4g} ({low:.4g} to {high:.4g}), "
            f"{found['effect']:+.4g} ({least:+.4g} to {most:+.4g}) beside the log"
        )
    yield (
        f"  as much as {result['effective_slates']:,.0f} slates of the target's own would tell; "
        f"the heaviest has {result['largest_weight']:.1%} of the weight"
    )
    yield from (f"  warning: {each}" for each in result["doubts"])


def _simulation_lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield from _analysis_lines(result)
    for arm, effects in result["truth"]["relative"].items():
        effect = effects.get(result["primary"])
        yield f"the true effect of {arm} on {result['primary']} is {effect:+.1%}"
    yield f"logs, experiments.toml and report.html -> {result['out']}"

"""Online experiments: planned, analysed, replayed from the log, and simulated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.csv as pcsv

from mmq._artifacts import check_writable, write_file, write_folder
from mmq._formats import write_json
from mmq.ab import (
    METRICS,
    PLANNED,
    REWARDS,
    Analysis,
    Baseline,
    Experiment,
    MarketSettings,
    Metric,
    Range,
    Simulated,
    Target,
    Value,
    Windows,
    analyse,
    as_dict,
    as_table,
    measured,
    open_market,
    plan,
    read_experiment,
    replay_log,
    simulate,
    write_table,
)
from mmq.ab._simulation import START
from mmq.data._files import fingerprint
from mmq.errors import SettingsError, nearest
from mmq.made_from import file_input
from mmq.reports._page import check_report
from mmq.settings import to_toml


class AbLogs(NamedTuple):
    """The logs of an experiment.

    Attributes:
        exposures: Parquet; a file, a folder or a pattern.
        events: the same.
        strata: Parquet of ``user_id, stratum``; None for new and known users.
    """

    exposures: str | Path
    events: str | Path
    strata: str | Path | None = None

    def as_inputs(self) -> dict[str, Any]:
        """Names and hashes, as a result says what it was made from."""
        paths = {name: path for name, path in self._asdict().items() if path is not None}
        return {name: file_input(path, fingerprint(path)) for name, path in paths.items()}


def ab_analyse(
    experiments: str | Path,
    logs: AbLogs,
    *,
    name: str | None = None,
    metric: str = "revenue",
    windows: Mapping[str, Any] | None = None,
    csv: str | Path | None = None,
    report: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """What an experiment has shown so far: a verdict in words, and all figures.

    Args:
        experiments: TOML file of experiments.
        logs: exposures and events.
        name: of the experiment, where the file has several.
        metric: of the verdict.
        windows: settings of :class:`~mmq.ab.Windows`.
        csv: write a row for each arm, stratum and metric.
        report: write all of it as one HTML file.
        force: replace a report of other logs.

    Raises:
        SettingsError: an unknown setting, experiment or metric.
        DataError: a file or a column is missing, or what it holds cannot be compared.
        FormatError: a file is damaged.
        MissingExtraError: DuckDB is not installed.

    Example: ``ab_analyse("experiments.toml", AbLogs("exposures", "events"))["verdict"]``
    """
    experiment, primary = read_experiment(experiments, name), _metric(metric)
    chosen = Windows.parse(windows or {})
    if csv is not None:
        check_writable(csv)
    inputs = {} if report is None else _checked(Path(report), logs, experiment.to_dict(), force)
    found = analyse(
        experiment, logs.exposures, logs.events, chosen, primary=primary, strata=logs.strata
    )
    if csv is not None:
        _write_csv(found, csv)
    if report is not None:
        from mmq.reports._ab import write_ab_report

        write_ab_report(found, Path(report), inputs)
    return as_dict(found)


def _checked(
    report: Path, logs: AbLogs, experiment: Mapping[str, Any], force: bool
) -> dict[str, Any]:
    """What the report is made from; raises unless it may be written."""
    check_report(report)  # before the logs are hashed
    inputs = {**logs.as_inputs(), "experiment": experiment}
    check_report(report, inputs, force)
    return inputs


def _write_csv(found: Analysis, path: str | Path) -> None:
    """Write a row for each arm, stratum and metric as CSV, whole or not at all."""
    with write_file(path) as temporary:
        pcsv.write_csv(as_table(found), temporary)


def _metric(name: str) -> Metric:
    names = {each.name: each for each in METRICS}
    if name not in names:
        raise SettingsError(f"--metric {name} is not known; {nearest(name, names)}")
    return names[name]


def ab_plan(
    baseline: Baseline | str | Path,
    effect: float,
    *,
    metric: str = "revenue",
    windows: Mapping[str, Any] | None = None,
    **options: float,
) -> dict[str, Any]:
    """Users and days that an experiment needs to show an effect.

    Args:
        baseline: what users do without it, or the log of events to measure that by.
        effect: relative, such as 0.02.
        metric: that is measured: conversion, orders or revenue.
        windows: settings of :class:`~mmq.ab.Windows`.
        options: ``share``, ``coverage`` and ``power`` of :func:`mmq.ab.plan`.

    Raises:
        SettingsError: the metric is not known, or a value is out of range.
        DataError: the log is missing or too short.

    Example: ``ab_plan(Baseline.of_rate(0.05, 4000), 0.02)["days"]``
    """
    if metric not in PLANNED:
        raise SettingsError(f"--metric {metric} cannot be planned; {nearest(metric, PLANNED)}")
    chosen = Windows.parse(windows or {})
    found = baseline if isinstance(baseline, Baseline) else measured(baseline, metric, chosen)
    return plan(found, effect, window_days=chosen.window_days, **options)


def ab_replay(
    logs: AbLogs,
    target: Target,
    *,
    experiment: Experiment | None = None,
    reward: str = "revenue",
    hours: float = 24.0,
    seed: int = 0,
) -> dict[str, Any]:
    """What another release would have earned, from slates that were drawn at random.

    Args:
        logs: exposures with propensities, and events.
        target: the release: its probabilities of the logged slates, or its scores.
        experiment: whose exposures are replayed; None for all.
        reward: clicks, orders or revenue, of a slate.
        hours: within which an event follows a slate.
        seed: of the slates that are drawn for the model of rewards.

    Raises:
        SettingsError: the reward is not known.
        DataError: there are no propensities, or a file, a column or a slate is missing.
        FormatError: a file is damaged.
        MissingExtraError: DuckDB is not installed.

    Example: ``ab_replay(AbLogs("exposures", "events"), Target("scores.parquet", 0.5))``
    """
    if reward not in REWARDS:
        raise SettingsError(f"--reward {reward} is not known; {nearest(reward, REWARDS)}")
    found = replay_log(
        experiment, logs.exposures, logs.events, target, reward=reward, hours=hours, seed=seed
    )
    estimates = {name: _estimate(each) for name, each in found.estimates.items()}
    return {"reward": reward, **found._asdict(), "estimates": estimates}


def _estimate(value: Value) -> dict[str, Any]:
    return {
        name: list(each) if isinstance(each, Range) else each
        for name, each in value._asdict().items()
    }


def ab_simulate(
    out: str | Path,
    *,
    market: Mapping[str, Any] | None = None,
    experiment: Experiment | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Weeks of simulated shoppers in an experiment: its logs, its page, and the true effect.

    Writes ``exposures.parquet``, ``events.parquet``, ``experiments.toml``, ``report.html`` and
    ``truth.json`` to a folder.

    Args:
        out: the folder.
        market: settings of :class:`~mmq.ab.MarketSettings`.
        experiment: with an arm for each recommender of the market; one of two arms if None.
        seed: of visits and purchases.

    Raises:
        SettingsError: an unknown setting, or an arm without a recommender.
        DataError: the folder holds other files, or nobody's window is over in so few days.
        MissingExtraError: DuckDB is not installed.

    Example: ``ab_simulate("market", market={"days": 14})["truth"]``
    """
    settings = MarketSettings.parse(market or {})
    chosen = experiment or _two_arms(settings)
    found = simulate(open_market(settings), chosen, Windows(), seed)
    with write_folder(out, marker="truth.json") as folder:
        logs = AbLogs(folder / "exposures.parquet", folder / "events.parquet")
        write_table(found.exposures, logs.exposures)
        write_table(found.events, logs.events)
        (folder / "experiments.toml").write_text(
            to_toml({"experiments": [chosen.to_dict()]}), "utf-8"
        )
        analysis = analyse(chosen, logs.exposures, logs.events)
        truth = _truth(found, analysis)
        write_json(folder / "truth.json", truth)
        _write_report(analysis, folder / "report.html", logs, chosen, truth)
    return {"out": str(out), "truth": truth, **as_dict(analysis)}


def _two_arms(market: MarketSettings) -> Experiment:
    """Control and treatment, from the arms of a market."""
    arms = [{"name": arm, "weight": 1 / len(market.sight)} for arm in market.sight]
    values = {"name": "market", "arms": arms, "start": START.isoformat(), "random_share": 0.2}
    planned = {"effect": 0.1, "planned_users": market.shoppers}
    return Experiment.parse({**values, **planned})


def _truth(found: Simulated, analysis: Analysis) -> dict[str, Any]:
    """True means of every arm, and true relative effects beside the control."""
    control, *others = analysis.experiment.arm_names
    effects = {
        arm: {name: value / found.truth[control][name] - 1 for name, value in means.items()}
        for arm, means in found.truth.items()
        if arm in others
    }
    return {"means": {arm: dict(each) for arm, each in found.truth.items()}, "relative": effects}


def _write_report(
    analysis: Analysis, path: Path, logs: AbLogs, experiment: Experiment, truth: Mapping[str, Any]
) -> None:
    from mmq.reports._ab import TrueEffect, write_ab_report

    name = analysis.primary.name
    effects = {arm: TrueEffect(name, each[name]) for arm, each in truth["relative"].items()}
    inputs = {**logs.as_inputs(), "experiment": experiment.to_dict()}
    write_ab_report(analysis, path, inputs, effects)

"""Random search with one halving, on a part of the items that is held out.

The settings of trial 0 are the defaults, those of the others are drawn from the kind's space. A
kind that is trained over epochs is first fitted with all of them for a third of the epochs each
(a whole schedule, only shorter); the best third of the trials, and the defaults in any case, are
then fitted anew with all epochs. So 16 trials cost as much as 16 / 3 + 6 or 7 whole fits, and no
short fit is ever compared with a long one. A kind without epochs is fitted once a trial. All trials
have the same seed, hence the same held-out items, and the one with the lowest figure there wins;
of equals the earlier. A fit that diverges has failed, and the search goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, PositiveInt, field_validator

from mmq._version import __version__
from mmq.data import Catalogue
from mmq.errors import DataError, DivergedError, SettingsError
from mmq.model import model_class
from mmq.settings import Settings
from mmq.tokenizers._base import Tokenizer, TokenizerSettings
from mmq.tokenizers._search_space import Size, Space
from mmq.tokenizers._tuning.draws import draws, settled, unfixed
from mmq.tokenizers._tuning.journal import Journal, Standing, Trial

SHARE = 3
"""A short trial has one in so many of the epochs, and one in so many trials goes on."""


class TunePlan(Settings):
    """How to search; the same plan is the same budget for every kind of tokenizer."""

    trials: PositiveInt = 16
    """Settings tried, the defaults among them."""
    hold_out: float = 0.1
    """Share of the items that is not fitted on and that the choice is made on."""
    figure: Literal["fvu_codes", "fvu", "l_recon_codes", "l_recon"] = "fvu_codes"
    """Figure of the held-out items to be made small, see
    :class:`~mmq.tokenizers._base.Figures`."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the draws and, unless it is fixed otherwise, of every fit."""

    @field_validator("hold_out")
    @classmethod
    def _is_a_part(cls, share: float) -> float:
        if not 0 < share < 1:
            raise ValueError(
                "it should lie between 0 and 1, such as 0.1, for the choice is made on that part"
            )
        return share


class Tuning(NamedTuple):
    """What a search found.

    Attributes:
        kind: of the tokenizer.
        settings: all settings chosen, as plain values.
        best: the trial chosen.
        default: the trial of the defaults at full length; it may have failed.
        trials: all fits in the order they were made.
        seconds: wall time of all fits.
    """

    kind: str
    settings: dict[str, Any]
    best: Trial
    default: Trial
    trials: list[Trial]
    seconds: float


def tune(
    catalogue: Catalogue,
    kind: str,
    plan: TunePlan | None = None,
    fixed: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    standing: Standing = "refuse",
    device: str = "auto",
    watch: Callable[[Trial], None] = lambda trial: None,
) -> Tuning:
    """Find settings of a tokenizer that leave little of held-out items unexplained.

    Args:
        catalogue: the items; none of them may belong to a test.
        kind: of a tokenizer that has a search space.
        plan: how to search.
        fixed: settings that are the same in all trials, and not searched.
        folder: where trials and result are written; None writes nothing.
        standing: what to do with a tuning that is in the folder; one that is gone on with has the
            result of one that never stopped.
        device: as in the tokenizer's constructor.
        watch: called after every fit.

    Raises:
        SettingsError: an unknown kind, one without a search space, or an unknown or bad fixed
            setting.
        DataError: the folder holds something else, too few items, or no trial succeeded.
        FormatError: the folder holds a tuning of other data or another plan.
    """
    plan, fixed = plan or TunePlan(), dict(fixed or {})
    maker: type[Tokenizer[Any]] = model_class("tokenizer", kind)
    space = _space(maker, fixed)
    base = {"seed": plan.seed, **fixed}
    defaults = maker.settings_class.parse(base)
    held = int(len(catalogue) * plan.hold_out)
    if held < 2:
        raise DataError(
            f"a hold-out of {plan.hold_out} of {len(catalogue)} items is {held}, too few to choose "
            "on; raise --hold-out"
        )
    mark = {
        "tokenizer": kind,
        "catalogue": catalogue.fingerprint() if folder is not None else "",
        "plan": plan.to_dict(),
        "fixed": fixed,
        "space": {name: source.described() for name, source in space.items()},
    }
    journal = Journal(folder, mark, standing)

    def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
        size = Size(len(catalogue) - held, len(catalogue.modalities))
        return {**base, **settled(values, space, defaults, size)}

    def fits(values: Mapping[str, Any]) -> bool:
        try:
            maker.settings_class.parse(settings_of(values))
        except SettingsError:
            return False
        return True

    tried = [settings_of(values) for values in draws(space, plan.trials, plan.seed, fits)]
    search = _Search(catalogue, maker, plan, journal, len(catalogue) - held, device, watch)
    full = search.run(tried, trained=defaults.has_epochs)
    return _choose(full, search, maker.settings_class)


def _space(maker: type[Tokenizer[Any]], fixed: Mapping[str, Any]) -> Space:
    """What is searched of a kind of tokenizer, without what the user has fixed."""
    whole = maker.search_space(fixed)
    if not whole:
        raise SettingsError(
            f"{maker.kind} names no settings to search, so there is nothing to tune; fit it with "
            "mmq fit, or give its class a search_space"
        )
    return unfixed(whole, fixed)


class _Search(NamedTuple):
    """Everything that the fits of a search share."""

    catalogue: Catalogue
    maker: type[Tokenizer[Any]]
    plan: TunePlan
    journal: Journal
    items: int
    device: str
    watch: Callable[[Trial], None]

    def run(self, tried: list[dict[str, Any]], trained: bool) -> list[Trial]:
        """The trials at full length, of all settings or of those that passed the short one."""
        numbers = list(range(len(tried)))
        if trained and len(tried) > 1:
            short = [self.trial(number, tried[number], "short") for number in numbers]
            passed = [trial.number for trial in sorted(short, key=self.score)]
            numbers = sorted({0, *passed[: math.ceil(len(tried) / SHARE)]})
        return [self.trial(number, tried[number], "full") for number in numbers]

    def score(self, trial: Trial) -> float:
        """What is made small; infinite where the trial failed."""
        if trial.figures is None:
            return math.inf
        return float(trial.figures[self.plan.figure]["held_out"])

    def trial(self, number: int, values: dict[str, Any], rung: str) -> Trial:
        """The trial from the journal, or made now."""
        found = self.journal.find(number, rung)
        if found is not None:
            return found
        started = time.monotonic()
        epochs, figures, error = None, None, None
        try:
            settings: Any = self.maker.settings_class.parse(values)
            if settings.has_epochs:
                epochs = settings.resolved_epochs(self.items)
                epochs = max(1, round(epochs / SHARE)) if rung == "short" else epochs
                settings = self.maker.settings_class.parse({**values, "epochs": epochs})
            figures = self._fit(settings)
        except (DivergedError, SettingsError) as problem:
            error = str(problem)
        seconds = round(time.monotonic() - started, 3)
        trial = Trial(number, rung, epochs, values, figures, error, seconds)
        self.journal.add(trial)
        self.watch(trial)
        return trial

    def _fit(self, settings: TokenizerSettings) -> dict[str, Any]:
        tokenizer = self.maker(settings, device=self.device)
        figures = tokenizer.fit(self.catalogue, hold_out=self.plan.hold_out).figures()
        if not math.isfinite(figures[self.plan.figure]["held_out"]):
            raise DivergedError(f"{self.plan.figure} of the held-out items is not finite")
        return figures


def _choose(full: list[Trial], search: _Search, settings: type[TokenizerSettings]) -> Tuning:
    """The best of the trials at full length, written down."""
    best, plan, journal = min(full, key=search.score), search.plan, search.journal
    if best.figures is None:
        raise DataError(f"none of the {plan.trials} trials succeeded; the first said: {best.error}")
    chosen = settings.parse(best.settings).to_dict()
    kind, trials = search.maker.kind, journal.trials
    tuning = Tuning(kind, chosen, best, full[0], trials, round(sum(t.seconds for t in trials), 3))
    result = {
        "mmq": __version__,
        "seconds": tuning.seconds,
        "best": {**best._asdict(), "settings": chosen},
        "trials": [trial._asdict() for trial in trials],
    }
    journal.finish(
        result,
        chosen,
        f"mmq fit CATALOGUE --tokenizer {kind} --config best.toml --out FOLDER",
    )
    return tuning

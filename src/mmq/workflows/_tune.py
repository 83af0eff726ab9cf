"""A catalogue -> good settings of a tokenizer for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmq.data._parquet import CatalogueFile
from mmq.errors import SettingsError
from mmq.tokenizers._tuning import Trial, TunePlan, Tuning
from mmq.tokenizers._tuning import tune as search
from mmq.tokenizers._tuning.journal import Standing
from mmq.workflows._run import Run, locks_out


@locks_out
def tune(
    catalogue: str | Path,
    out: str | Path,
    kind: str = "mmq",
    *,
    plan: TunePlan | None = None,
    settings: Mapping[str, Any] | None = None,
    run: Run = Run(),
    watch: Callable[[Trial], None] = lambda trial: None,
) -> tuple[Tuning, dict[str, Any]]:
    """The settings of a tokenizer that explain held-out items of a catalogue best, and figures.

    Args:
        catalogue: the catalogue.
        out: folder of the result and of all trials.
        kind: of tokenizer, one of ``mmq.model.kinds("tokenizer")``.
        plan: how many trials, what is held out, and the seed.
        settings: that are fixed, and not searched.
        run: device, resume, force.
        watch: is told of every fit.

    Raises:
        SettingsError: an unknown kind or setting, or a value out of range.
        DataError: too few items, no trial succeeded, or ``out`` holds something else.

    Example: ``tune("catalogue.parquet", "tuned", "rqvae")[0].settings``
    """
    if run.resume and run.force:
        raise SettingsError("--resume and --force exclude each other; give one of them")
    plan, items = plan or TunePlan(), CatalogueFile(catalogue).read(attributes=False)
    standing: Standing = "resume" if run.resume else "replace" if run.force else "refuse"
    found = search(items, kind, plan, settings, Path(out), standing, run.device, watch)
    return found, {
        "tokenizer": kind,
        "trials": plan.trials,
        "fits": len(found.trials),
        "failed": sum(trial.error is not None for trial in found.trials),
        "seconds": found.seconds,
        "figure": plan.figure,
        "best": {**found.best._asdict(), "settings": found.settings},
        "default": found.default._asdict(),
        "out": str(out),
    }

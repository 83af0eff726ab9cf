"""``mmq finetune``: a tokenizer and a model that learn together -> a new tokenizer, IDs, model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns

_Control = Annotated[
    bool,
    typer.Option(
        "--control/--no-control",
        help="Also learn for as long with a frozen tokenizer, which the gain is told against.",
    ),
]


@with_columns
def command(
    columns: Columns,
    what: Annotated[
        Literal["retrieval", "ranking"],
        typer.Argument(help="What the model is for.", show_default=False),
    ],
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="Folder of the tokenizer.")],
    model: Annotated[
        Path, typer.Option("--model", help="Folder of the model, trained on its IDs.")
    ],
    catalogue: Annotated[Path, typer.Option("--catalogue", help="The items' embeddings.")],
    interactions: Annotated[
        Path, typer.Option("--interactions", help="The log that the model was trained on.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder to write: tokenizer, ids.parquet, model, report.html."),
    ],
    control: _Control = True,
    seed: opt.UnsetSeed = None,
    settings: opt.Set = None,
    config: opt.Config = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    log_dir: opt.LogDir = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Fine-tune semantic IDs by what users do: tokenizer and model learn together (stage 2).

    The log is divided as it was for the model's training. What is best on the validation part is
    kept, the start included. The same is then done with a frozen tokenizer: the control that shows
    what longer training alone gives, and against which the gain is told.

    Example: mmq finetune retrieval --tokenizer tokenizer --model model --catalogue
    catalogue.parquet --interactions interactions.parquet --out tuned
    """
    from mmq.settings import gather
    from mmq.workflows import LogFile, Run, Stage1, finetune

    result = finetune(
        what,
        Stage1(tokenizer, model, catalogue, LogFile(interactions, columns)),
        out,
        control=control,
        settings=gather(config, settings or []),
        run=Run(seed, device, resume, force, log_dir),
    )
    if result is not None:
        emit(result, as_json, _lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    before, after, control = result["before"], result["after"], result["control"]
    kept = result["best_epoch"]
    yield f"fine-tuned for {result['finetune']} -> {result['out']}"
    yield (
        f"  the start was best of {result['epochs']} epochs, so the IDs are as they were"
        if kept == 0
        else f"  best epoch {kept} of {result['epochs']}: "
        f"{after['validation']['items_moved']:.1%} of the items have a new ID"
    )
    columns = {"before": before, **({"control": control} if control else {}), "after": after}
    yield f"  {'':<26}" + "".join(f"{name:>9}" for name in columns)
    rows = [(part, name) for part in ("validation", "test") for name in after["test"]]
    rows += [("", name) for name in ("colliding", "utilisation", "fvu")]
    for part, name in rows:
        values = [each[part or "validation"] for each in columns.values()]
        if all(name in each for each in values):
            label = f"{part}, {name}" if part else name
            yield f"  {label:<26}" + "".join(f"{each[name]:>9.4f}" for each in values)
    yield from _gain(result)


def _gain(result: Mapping[str, Any]) -> Iterator[str]:
    """What the IDs' learning is worth: the gain over the control, not over the start."""
    if result["control"] is None:
        yield (
            "  the tokenizer was frozen: this is what longer training alone gives"
            if result["settings"]["tokenizer_rate"] == 0
            else "  no control was run (--no-control), so this gain is that of longer training too"
        )
        return
    name = next(each for each in ("ndcg@10", "auc") if each in result["after"]["test"])
    for part in ("validation", "test"):
        start, alone, tuned = (result[when][part][name] for when in ("before", "control", "after"))
        yield (
            f"  {part}, {name}: {tuned - alone:+.4f} over the control, which learned for as long "
            f"with a frozen tokenizer and gained {alone - start:+.4f} itself"
        )
    test = result["gain_test"]
    if test is not None:
        yield (
            f"  over {test['users']:,} users of the test part {test['by']} differs from the "
            f"control's by {test['difference']:+.4f} ({test['low']:+.4f} to {test['high']:+.4f}, "
            f"p {test['p']:.2g}), of one seed"
        )

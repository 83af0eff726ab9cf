"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of everything random.")
]
UnsetSeed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of everything random; 0 if not given."),
]
"""For verbs whose settings have a seed: it wins over theirs only where it is given."""
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting by its dotted name: --set key=value. Repeats."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings from a TOML file; --set wins over it.")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on from where a killed run of the same command stopped."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace what stands at --out although other inputs made it."),
]
LogDir = Annotated[
    Path | None,
    typer.Option("--log-dir", help="Folder for TensorBoard: figures of every epoch."),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", help="Write curves, figures and baselines as one HTML file."),
]
Reduce = Annotated[
    int | None, typer.Option("--reduce", help="PCA of wider modalities to so many dimensions.")
]
ReduceLike = Annotated[
    Path | None, typer.Option("--reduce-like", help="Apply the PCA of this older catalogue.")
]
Title = Annotated[
    str | None, typer.Option("--title-column", help="Column to show; title if there is one.")
]
Attribute = Annotated[
    list[str] | None, typer.Option("--attribute", help="A further column to keep. Repeats.")
]
Kind = Annotated[
    str,
    typer.Option("--tokenizer", help="Kind of tokenizer; an unknown one is answered with all."),
]
Fusion = Annotated[
    Literal["aligned", "separated"] | None,
    typer.Option(
        "--fusion",
        help="One quantiser for all modalities, or one for each; for all kinds but mmq.",
    ),
]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Folder of the model.", show_default=False)
]
NewIds = Annotated[
    Path | None,
    typer.Option("--ids", help="Recommend from this newer ID table of the same tokenizer."),
]
NewItemShare = Annotated[
    float,
    typer.Option(
        "--new-item-share",
        help="Share of everybody's recommendations that goes to new items at least, such as 0.05. "
        "New is what the training lacks (--ids brings it), and what --new-since says.",
    ),
]
NewSince = Annotated[
    str | None,
    typer.Option(
        "--new-since",
        help="Items first seen from this DATE on are new too, or in the last DAYS; first seen by "
        "the catalogue's column first_seen, or else by the log.",
    ),
]
Ties = Annotated[
    Literal["file", "shuffled"] | None,
    typer.Option(
        "--ties",
        help="Order of a user's interactions at one moment: that of the rows (file), or a random "
        "one that does not depend on it.",
    ),
]
Dedupe = Annotated[
    bool, typer.Option("--dedupe", help="Leave out rows that an earlier one equals in all columns.")
]
DropUnknown = Annotated[
    bool,
    typer.Option(
        "--drop-unknown", help="Leave out rows whose item has no semantic ID, in place of an error."
    ),
]
Interactions = Annotated[Path, typer.Option("--interactions", help="The interaction log.")]
PositiveAbove = Annotated[
    float, typer.Option("--positive-above", help="Ratings above it count, where there are any.")
]


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """The numbers of ``5,10,20``.

    Raises:
        SettingsError: one is not a whole number from 1 on.
    """
    from mmq.errors import SettingsError

    parts = [each.strip() for each in text.split(",")]
    if not all(each.isascii() and each.isdigit() and int(each) > 0 for each in parts):
        raise SettingsError(f"{option} {text!r} should be whole numbers from 1 on, such as 5,10")
    return tuple(map(int, parts))

"""What the verbs that fit share: which tokenizer, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

KindOption = Annotated[
    str,
    typer.Option("--tokenizer", help="Kind of tokenizer: mmq, rqvae, rqkmeans or opq."),
]
FusionOption = Annotated[
    Literal["aligned", "separated"] | None,
    typer.Option(
        "--fusion",
        help="One quantiser for all modalities, or one for each; for all kinds but mmq.",
    ),
]


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

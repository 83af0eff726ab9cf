"""A catalogue -> a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmq._artifacts import beside
from mmq.data._parquet import CatalogueFile
from mmq.errors import SettingsError
from mmq.made_from import Checkpoint, check_replaced, file_input
from mmq.tokenizers._base import TokenizerSettings
from mmq.tokenizers._estimator import NetworkTokenizer
from mmq.training._distributed import joined, processes
from mmq.workflows._run import Run, locks_out


@locks_out
def fit(
    catalogue: str | Path,
    out: str | Path,
    kind: str = "mmq",
    *,
    settings: Mapping[str, Any] | None = None,
    hold_out: float = 0.0,
    sample: int | None = None,
    run: Run = Run(),
) -> tuple[NetworkTokenizer[Any, Any], dict[str, Any]] | None:
    """A tokenizer fitted to a catalogue's embeddings and written to a folder, and its figures.

    None in processes of ``torchrun`` other than the first.

    Args:
        catalogue: the catalogue (Parquet).
        out: the folder to write.
        kind: of tokenizer, one of ``mmq.model.kinds("tokenizer")``.
        settings: of the kind, by name.
        hold_out: share of the items to measure on, not to fit.
        sample: fit on so many items drawn at random; None on all, or as many as there is something
            to learn from (:meth:`TokenizerSettings.most_items`). Held-out items are drawn beside.
        run: seed, device, resume, force.

    Raises:
        SettingsError: an unknown kind or setting, a value out of range, or several processes for
            what does not learn by gradient.
        DataError: no such catalogue, it cannot be fitted, or ``out`` holds something else.

    Example: ``tokenizer, figures = fit("catalogue.parquet", "tokenizer", hold_out=0.1)``
    """
    tokenizer: NetworkTokenizer[Any, Any] = run.make("tokenizer", kind, settings)
    _require_gradient(tokenizer)
    tokenizer.folder_format.check_target(out)
    file = CatalogueFile(catalogue)
    read = file_input(catalogue, file.fingerprint())
    inputs = {"catalogue": read, "kind": kind, "hold-out": hold_out, "sample": sample}
    inputs |= {"settings": tokenizer.settings.to_dict()}
    check_replaced(out, "a tokenizer", inputs, run.force)
    checkpoint = Checkpoint(beside(out, "checkpoint.safetensors"), inputs, run.resume)
    drawn = _drawn(tokenizer.settings, file, hold_out, sample)
    items = file.read(drawn, tokenizer.settings.seed, attributes=False)
    with run.logged(), joined(tokenizer.device) as first:
        result = tokenizer.fit(items, hold_out, checkpoint)
    if not first:
        return None
    if len(items) < len(file):
        result = result._replace(items={**result.items, "catalogue": len(file)})
        tokenizer.figures = result.figures()
    tokenizer.save(out, inputs)
    checkpoint.path.unlink(missing_ok=True)
    figures = {**result._asdict(), "tokenizer": kind, "length": tokenizer.length, "out": str(out)}
    return tokenizer, figures


def _drawn(
    settings: TokenizerSettings, file: CatalogueFile, hold_out: float, sample: int | None
) -> int:
    """Items to read: those to fit on, and those to measure on."""
    fitted = sample or settings.most_items(sum(file.dimensions.values()))
    return int(fitted / (1 - hold_out)) if 0 <= hold_out < 1 else fitted


def _require_gradient(tokenizer: NetworkTokenizer[Any, Any]) -> None:
    """Raise :class:`SettingsError` for several processes where one does all the work."""
    if processes() == 1 or tokenizer.settings.has_epochs:
        return
    by_gradient = ", or with learning=gradient" if tokenizer.kind == "mmq" else ""
    raise SettingsError(
        f"{tokenizer.kind} is fitted by one process, since it does not learn by gradient here; "
        f"start mmq fit without torchrun{by_gradient}"
    )

"""Texts and images of an items file -> a catalogue of embeddings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmq._artifacts import check_writable
from mmq.data._parquet import check_replaced
from mmq.encoders._embed import Embedding
from mmq.encoders._embed import embed as embed_items
from mmq.workflows._run import locks_out


@locks_out
def embed(
    task: Embedding, out: str | Path, *, resume: bool = False, force: bool = False
) -> dict[str, Any]:
    """Figures of a catalogue that was made of an items file.

    Args:
        task: the items, which of their columns are embedded, and by what.
        out: the catalogue to write.
        resume: go on from where a killed run of the same call stopped.
        force: replace a catalogue of other inputs.

    Raises:
        DataError: no such file or column, an image that cannot be read, or ``out`` holds something
            else.
        MissingExtraError: the extra ``encoders`` is needed.

    Example: ``embed(Embedding("items.jsonl", TextTemplate.of_columns(("title",))), "c.parquet")``
    """
    start = time.perf_counter()
    check_writable(out, [task.items])
    inputs = task.inputs()
    check_replaced(out, inputs, force)
    result = embed_items(task, out, resume, inputs)
    return {**result, "seconds": round(time.perf_counter() - start, 3)}

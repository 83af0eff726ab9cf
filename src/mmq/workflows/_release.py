"""Parts that belong together -> a release, which a service recommends from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmq.release import Parts, write_release


def release(parts: Parts, out: str | Path) -> dict[str, Any]:
    """What a release is called, its fingerprint, items and models; its folder is written.

    Args:
        parts: tokenizer, ID table, recommender and so on.
        out: the folder to make. Nothing may be there: a release never changes.

    Raises:
        DataError: something is there already, or a part is missing.
        FormatError: a part is damaged, or is not of the same tokenizer and table as the others.
        SettingsError: the folder's name is no name for a release.

    Example: ``release(Parts("ids.parquet", "model", "tokenizer"), "releases/monday")["items"]``
    """
    manifest = write_release(parts, out)
    kept = manifest.model_dump(include={"name", "fingerprint", "items", "new_items", "models"})
    return {**kept, "files": len(manifest.files), "out": str(out)}

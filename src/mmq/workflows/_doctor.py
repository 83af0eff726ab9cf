"""Is this machine fit for mmq, and what is missing?"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

_DISTRIBUTION = "mmq-tokenizer"
_INSIDE = "mmq-tokenizer["
_MATRIX = 768
_SECONDS = 0.7
_GIB = 2**30


def doctor() -> dict[str, Any]:
    """Whether mmq can be used on this machine: versions, memory, speed, extras, a round trip.

    Example: ``doctor()["usable"]``
    """
    trip = round_trip()
    folder = _temporary_folder()
    temporary = folder is not None and _writable(folder)
    return {
        "usable": trip == "ok" and temporary,
        "round_trip": trip,
        "versions": versions(),
        "system": platform.platform(),
        "cores": _cores(),
        "memory_gib": _memory(),
        "cuda": _cuda(),
        "matmul_gflops": matmul_rate(),
        "free_disk_gib": round(shutil.disk_usage(Path.cwd()).free / _GIB, 1),
        "temporary_folder": {"path": folder and str(folder), "writable": temporary},
        "extras": extras(),
    }


def versions() -> dict[str, str | None]:
    """Version of Python, of mmq and of everything it always needs; None where not installed."""
    names = [_DISTRIBUTION, *(name for name, extra in _requirements() if extra is None)]
    return {"python": platform.python_version(), **{name: _version(name) for name in names}}


def extras() -> dict[str, dict[str, Any]]:
    """Extra -> whether it is installed, which packages are missing, and how to get them."""
    needed: dict[str, list[str]] = defaultdict(list)
    for name, extra in _requirements():
        if extra is not None:
            needed[extra].append(name)
    found = {}
    for extra in metadata(_DISTRIBUTION).get_all("Provides-Extra") or []:
        missing = [name for name in needed[extra] if _version(name) is None]
        found[extra] = {
            "installed": not missing,
            "missing": missing,
            "install": f"pip install '{_DISTRIBUTION}[{extra}]'",
        }
    return found


def matmul_rate() -> float | None:
    """Measured GFLOP/s of float32 matrix products, None where torch cannot do one."""
    try:
        import torch

        a, b = torch.randn(2, _MATRIX, _MATRIX).unbind()
        a @ b  # the first call pays for threads and caches
        started, products = time.perf_counter(), 0
        while time.perf_counter() - started < _SECONDS:
            a @ b
            products += 1
        rate = 2 * _MATRIX**3 * products / (time.perf_counter() - started) / 1e9
    except Exception:  # a broken installation is what this verb is there to show
        return None
    return round(rate, 1)


def round_trip() -> str:
    """ "ok" where a tiny catalogue survives fit, encode, save and load; else what went wrong."""
    try:
        import numpy as np

        from mmq.data import Catalogue, read_catalogue, write_catalogue
        from mmq.semantic_ids import SemanticIDs
        from mmq.tokenizers import MMQTokenizer

        rng = np.random.default_rng(0)
        with tempfile.TemporaryDirectory(prefix="mmq-doctor-") as name:
            folder = Path(name)
            embeddings = {"text": rng.normal(size=(64, 8)), "image": rng.normal(size=(64, 6))}
            write_catalogue(folder / "catalogue.parquet", Catalogue.build(range(64), embeddings))
            catalogue = read_catalogue(folder / "catalogue.parquet")
            tokenizer = MMQTokenizer(codebook_size=8)
            tokenizer.fit(catalogue)
            codes = tokenizer.encode(catalogue)
            tokenizer.save(folder / "tokenizer")
            ids = SemanticIDs.build(catalogue.item_ids, codes, tokenizer.codebook_sizes)
            ids.write(folder / "ids.parquet")
            again = MMQTokenizer.load(folder / "tokenizer").encode(catalogue)
            table = SemanticIDs.read(folder / "ids.parquet")
    except Exception as error:  # whatever it is, the user should read it, not a traceback
        return f"failed: {type(error).__name__}: {error}"
    if not (np.array_equal(again, codes) and np.array_equal(table.codes, codes)):
        return "failed: codes differ after saving and loading"
    return "ok"


def _requirements() -> Iterator[tuple[str, str | None]]:
    """Names of required distributions, each with the extra that brings it or None."""
    for requirement in requires(_DISTRIBUTION) or []:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if name and not requirement.startswith(_INSIDE):
            yield name[0], extra[1] if extra else None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float | None:
    """Memory of the machine or, where that is less, of the container; None if unknown."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        found = min(found, int(text))
    return round(found / _GIB, 1)


def _cuda() -> str | None:
    """Name of the first CUDA device, None without one."""
    try:
        import torch

        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    except Exception:  # as above
        return None


def _temporary_folder() -> Path | None:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # no folder takes a file
        return None


def _writable(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return True
    except OSError:
        return False

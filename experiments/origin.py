"""Where a figure comes from: version, commit, machine; and what memory it took."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mmq._version import __version__

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def origin() -> dict[str, Any]:
    """Commit (where mmq runs from a clone), versions, and the machine's size."""
    return {
        "commit": _commit(),
        "mmq": __version__,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "numpy", "pyarrow")},
        "cores": os.cpu_count(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
    }


def _commit() -> str | None:
    """Of the clone that holds this file; None for an installed package."""
    folder = Path(__file__).parent
    try:
        git = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10"],
            capture_output=True, text=True, cwd=folder, check=False,
        )  # fmt: skip
        inside = subprocess.run(
            ["git", "ls-files", "--error-unmatch", Path(__file__).name],
            capture_output=True, cwd=folder, check=False,
        )  # fmt: skip
    except OSError:
        return None
    return git.stdout.strip() or None if inside.returncode == 0 else None


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor()


def restart_peak() -> None:
    """Let :func:`peak_memory` count from here, where the system can."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")


def peak_memory() -> int | None:
    """Most memory (MB) that this process held since; None where the system does not say."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
        if found:
            return int(found[1]) // 1024
    return None

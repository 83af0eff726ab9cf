"""Two processes that compute together, as under torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_BEFORE = """
import json, sys
import torch.distributed as dist
folder, rank, tests = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sys.path.insert(0, tests)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
"""
_AFTER = """
with open(f"{folder}/{rank}.json", "w") as file:
    json.dump(found, file)
dist.barrier()
dist.destroy_process_group()
"""


def in_two_processes(code: str, folder: Path, tests: Path) -> list[Any]:
    """What ``code`` left in ``found`` in each of two processes that know of each other.

    Args:
        code: Python.
        folder: an empty one.
        tests: from where the code imports.
    """
    command = [sys.executable, "-c", f"{_BEFORE}{code}{_AFTER}", str(folder)]
    workers = [
        subprocess.Popen([*command, str(rank), str(tests)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for worker in workers:
        errors = worker.communicate(timeout=120)[1]
        assert worker.returncode == 0, errors
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]

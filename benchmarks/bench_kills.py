"""Every stage of the path killed at random moments and gone on with: is the result the same?

    python -m benchmarks.bench_kills --world WORLD [--moments 10] [--out FILE]

WORLD is a folder that `python -m benchmarks.world` wrote; half of its catalogue is the first week,
and all of it what is appended. A stage is run once undisturbed; then, for each moment, it is
started in a folder of its own, killed (SIGKILL) at a time drawn evenly from the seconds it took,
looked at for an output that is there and not whole, and started again, with `--resume` where the
verb has it. The bytes of all its outputs have to be those of the undisturbed run, and nothing may
be left beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import RESULTS, provenance, write


class Stage(NamedTuple):
    """A command whose outputs are compared.

    Attributes:
        command: what is run in a folder that holds the outputs of earlier stages.
        outputs: files and folders that it writes; of none, its printed JSON is compared.
        resumes: whether the verb has `--resume`.
    """

    command: str
    outputs: tuple[str, ...]
    resumes: bool = False


_LOG = "--interactions {world}/interactions"
STAGES = {
    "fit": Stage("fit week1 --out tokenizer --sample 20000", ("tokenizer",), True),
    "fit quickly": Stage(
        "fit week1 --out tokenizer --tokenizer rqkmeans --sample 20000 --set codebook_size=32 "
        "--set refinement=0",
        ("tokenizer",),
    ),
    "fit by gradient": Stage(
        "fit week1 --out gradient --sample 20000 --set learning=gradient --set epochs=3",
        ("gradient",),
        True,
    ),
    "encode": Stage("encode week1 --tokenizer tokenizer --out ids", ("ids",), True),
    "encode to a file": Stage(
        "encode week1 --tokenizer tokenizer --out ids.parquet", ("ids.parquet",), True
    ),
    "append": Stage(
        "encode {world}/catalogue --tokenizer tokenizer --append ids --out all_ids",
        ("all_ids",),
        True,
    ),
    "inspect": Stage(
        "inspect all_ids --catalogue {world}/catalogue --tokenizer tokenizer --report report.html",
        ("report.html",),
    ),
    "train": Stage(
        f"train retrieval {_LOG} --ids all_ids --out model --set epochs=2 --set hidden_dim=32 "
        "--set token_layers=0 --set item_token=false",
        ("model",),
        True,
    ),
    "evaluate": Stage(f"evaluate model {_LOG} --per-user users.parquet", ("users.parquet",)),
    "recommend": Stage(
        f"recommend model --users all {_LOG} -k 10 --out recommendations.parquet",
        ("recommendations.parquet",),
    ),
    "export vectors": Stage("export vectors model --out vectors", ("vectors",)),
}


def started(stage: Stage, folder: Path, world: Path, again: bool = False) -> subprocess.Popen[str]:
    """The stage as a process; `again` goes on with one that was killed."""
    words = shlex.split(stage.command.format(world=world))
    if again and stage.resumes:
        words.append("--resume")
    return subprocess.Popen(
        [sys.executable, "-m", "mmq", *words],
        cwd=folder,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def finish(stage: Stage, folder: Path, world: Path, again: bool = False) -> None:
    """Run the stage to its end."""
    process = started(stage, folder, world, again)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"{stage.command} ended with {process.returncode}: {said}")


def digests(stage: Stage, folder: Path) -> dict[str, str]:
    """Path -> hash of every file that the stage has written, as far as it is there."""
    paths = [folder / output for output in stage.outputs]
    files = [each for path in paths for each in (path.rglob("*") if path.is_dir() else [path])]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def kill_at(moment: float, stage: Stage, folder: Path, world: Path) -> bool:
    """Start the stage and kill it after some seconds; False where it had ended before."""
    process = started(stage, folder, world)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    process.communicate()
    return False


def disturbed(
    stage: Stage, before: Path, world: Path, moment: float, whole: dict[str, str]
) -> dict[str, Any]:
    """What comes out of a run that was killed and gone on with."""
    with tempfile.TemporaryDirectory(dir=before.parent) as name:
        folder = Path(name)
        for path in before.iterdir():
            if path.name not in stage.outputs:
                (folder / path.name).symlink_to(path.resolve())
        known = {path.name for path in folder.iterdir()} | set(stage.outputs)
        killed = kill_at(moment, stage, folder, world)
        torn = [n for n, hash in digests(stage, folder).items() if whole.get(n) != hash]
        finish(stage, folder, world, again=killed)
        return {
            "moment": round(moment, 2),
            "killed": killed,
            "half_written": torn,
            "same_bytes": digests(stage, folder) == whole,
            "left_over": sorted({path.name for path in folder.iterdir()} - known),
        }


def measure(
    name: str, folder: Path, world: Path, moments: int, source: random.Random
) -> dict[str, Any]:
    """One stage, undisturbed and killed at random moments."""
    stage, began = STAGES[name], time.monotonic()
    finish(stage, folder, world)
    seconds, whole = time.monotonic() - began, digests(stage, folder)
    runs = [
        disturbed(stage, folder, world, source.uniform(0, seconds), whole) for _ in range(moments)
    ]
    return {
        "stage": name,
        "command": stage.command,
        "seconds": round(seconds, 1),
        "killed": sum(run["killed"] for run in runs),
        "same_bytes": sum(run["same_bytes"] for run in runs),
        "half_written": sum(bool(run["half_written"]) for run in runs),
        "left_over": sum(bool(run["left_over"]) for run in runs),
        "runs": runs,
    }


def first_half(catalogue: Path, folder: Path) -> None:
    """The first half of a catalogue's parts, as a catalogue of their own."""
    parts = sorted(catalogue.glob("*.parquet"))
    folder.mkdir()
    for part in parts[: max(1, len(parts) // 2)]:
        shutil.copy(part, folder / part.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "kills.json")
    chosen = parser.parse_args()
    source, world = random.Random(chosen.seed), chosen.world.resolve()
    record: dict[str, Any] = {**provenance(), "world": world.name, "stages": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "undisturbed"
        folder.mkdir()
        first_half(world / "catalogue", folder / "week1")
        for stage in chosen.stages.split(","):
            record["stages"].append(measure(stage, folder, world, chosen.moments, source))
            print({k: v for k, v in record["stages"][-1].items() if k != "runs"}, flush=True)
            write(chosen.out, record)


if __name__ == "__main__":
    main()

"""What the steps of a small shop take, on MovieLens-1M: seconds and memory of every command.

    python -m benchmarks.bench_shop --data ML1M [--out FOLDER]

The commands are those of docs/guides/a_shop_by_commands.md, each in a process of its own, but that
embeddings are imported and not made. Settings are the defaults, but for the recommender, which is
narrow and trained for two epochs. "Next week" has the same items again, so that IDs are looked up
and none is made. Seconds are of the processor: they do not depend on what else runs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, provenance, write

LOG = "--interactions {data}/interactions.parquet --user-column user --item-column item"
EMBEDDINGS = "mmq import npy --items {data}/items.jsonl --id item --attribute genres "
EMBEDDINGS += "--modality text={data}/text_minilm.npy --modality image={data}/image_effnet.npy"
STEPS = {
    "import embeddings": f"{EMBEDDINGS} --reduce 256 --out catalogue.parquet",
    "fit a tokenizer": "mmq fit catalogue.parquet --out tokenizer --hold-out 0.1",
    "encode": "mmq encode catalogue.parquet --tokenizer tokenizer --out ids.parquet",
    "inspect, with a report": "mmq inspect ids.parquet --catalogue catalogue.parquet "
    "--tokenizer tokenizer --report ids.html",
    "train HeterRec, 2 epochs": f"mmq train retrieval {LOG} --ids ids.parquet --out model "
    "--set epochs=2 --set hidden_dim=64 --set token_layers=0",
    "train item-kNN": f"mmq train retrieval {LOG} --model item-knn --out knn",
    "compare both": f"mmq compare model knn {LOG}",
    "recommend 20 items to everybody": f"mmq recommend model --users all {LOG} -k 20 --titles "
    "--catalogue catalogue.parquet --exclude-history --reason --out recommendations.parquet",
    "next week: import": f"{EMBEDDINGS} --reduce-like catalogue.parquet --out next.parquet",
    "next week: append IDs": "mmq encode next.parquet --tokenizer tokenizer "
    "--append ids.parquet --out next_ids.parquet",
    "next week: recommend": f"mmq recommend model --users all {LOG} -k 20 --ids next_ids.parquet "
    "--out next_recommendations.parquet",
}
"""Step -> command."""


def measured(command: str, folder: Path) -> dict[str, Any]:
    """Seconds of the processor and peak memory of one command."""
    words = [sys.executable, "-m", *shlex.split(command)]
    child = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return {
        "command": command.split(" --")[0],
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def main() -> None:
    """Run all steps in turn and store what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of MovieLens-1M")
    parser.add_argument("--out", type=Path, default=RESULTS / "shop_ml1m.json")
    chosen = parser.parse_args()
    steps = []
    with tempfile.TemporaryDirectory() as folder:
        for name, command in STEPS.items():
            step = measured(command.format(data=chosen.data.resolve()), Path(folder))
            steps.append({"step": name, **step})
            print(steps[-1], flush=True)
    write(chosen.out, {**provenance(), "steps": steps})


if __name__ == "__main__":
    main()

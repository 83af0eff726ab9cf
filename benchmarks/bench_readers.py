"""Speed of the readers, beside that of another checkout in the same run.

    git worktree add ../before COMMIT
    python -m benchmarks.bench_readers --against ../before [--rows 1000000] [--repeats 15]

One log and one items file are written in every format. A pair of child processes, one of either
checkout, stays up for each file and reads it in turn, so that other work on the machine falls on
both; they run on one core. Seconds are of processor time. The ratio is the median over the pairs
of readings, above 1 where this checkout is faster; rows and bytes a second are of the medians.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from benchmarks.common import RESULTS, provenance, write

HERE = Path(__file__).parents[1]

READ = """
import os, sys, time
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # one core
from mmq.data import read_interactions
from mmq.data._items import ItemColumns, read_display
from mmq.data import read_catalogue
kind, path = sys.argv[1:]
read = {
    "log": read_interactions,
    "items": lambda path: read_display(path, ItemColumns(attributes=("brand", "price"))),
    "catalogue": read_catalogue,
}[kind]
for _ in sys.stdin:
    start = time.process_time()
    read(path)
    print(time.process_time() - start, flush=True)
"""


def write_log(folder: Path, rows: int) -> dict[str, Path]:
    """A log of numbers and one of text ids, in every format."""
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "user_id": rng.integers(0, rows // 20, rows),
            "item_id": [f"B{item:09d}" for item in rng.zipf(1.3, rows) % 50_000],
            "timestamp": rng.integers(1_500_000_000, 1_600_000_000, rows),
            "rating": rng.integers(1, 6, rows).astype(float),
        }
    )
    paths = {name: folder / f"log.{name}" for name in ("parquet", "csv", "tsv", "jsonl", "inter")}
    pq.write_table(table, paths["parquet"])
    pcsv.write_csv(table, paths["csv"])
    plain = pcsv.WriteOptions(delimiter="\t", quoting_style="none", include_header=False)
    with paths["tsv"].open("wb") as file:
        file.write(("\t".join(table.column_names) + "\n").encode())
        pcsv.write_csv(table, file, plain)
    header = "user_id:token\titem_id:token\ttimestamp:float\trating:float\n"
    with paths["inter"].open("wb") as file:
        file.write(header.encode())
        pcsv.write_csv(table, file, plain)
    with paths["jsonl"].open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in table.to_pylist())
    return {f"log {name}": path for name, path in paths.items()}


def write_items(folder: Path, rows: int) -> dict[str, Path]:
    """Items with quotation marks in some titles, and a catalogue of embeddings."""
    rng = np.random.default_rng(0)
    words = np.array(["red", "small", '12" disc', "box, large", "toy", "of", "wood"])
    titles = [" ".join(each) for each in words[rng.integers(0, len(words), (rows, 8))]]
    items = {
        "item_id": [f"B{item:09d}" for item in range(rows)],
        "title": titles,
        "brand": [f"brand {each}" for each in rng.integers(0, 1000, rows)],
        "price": rng.integers(100, 9999, rows) / 100,
    }
    names = ("parquet", "csv", "jsonl")
    paths = {name: folder / f"items.{name}" for name in names}
    pq.write_table(pa.table(items), paths["parquet"])
    with paths["csv"].open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(items)
        writer.writerows(zip(*items.values(), strict=True))
    with paths["jsonl"].open("w") as file:
        rows_of = pa.table(items).to_pylist()
        file.writelines(json.dumps(row) + "\n" for row in rows_of)
    matrix = rng.standard_normal((rows // 4, 64), np.float32)
    text = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), 64)
    catalogue = folder / "catalogue.parquet"
    few = {"item_id": items["item_id"][: rows // 4], "title": titles[: rows // 4], "text": text}
    pq.write_table(pa.table(few), catalogue, compression="none", use_dictionary=False)
    found = {f"items {name}": path for name, path in paths.items()}
    return {**found, "catalogue parquet": catalogue}


class Reader:
    """A child process of a checkout, which reads a file whenever it is asked to."""

    def __init__(self, checkout: Path, kind: str, path: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", READ, kind, str(path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self) -> float:
        """Processor time of one reading."""
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None
        assert told is not None
        asked.write("\n")
        asked.flush()
        return float(told.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def paired(kind: str, path: Path, against: Path, repeats: int) -> np.ndarray:
    """``(repeats, 2)`` seconds of this checkout and the other; who goes first alternates."""
    readers = [Reader(HERE, kind, path), Reader(against, kind, path)]
    for reader in readers:
        reader.seconds()  # the first finds the file in no cache and the code not yet imported
    found = np.empty((repeats, 2))
    for repeat in range(repeats):
        for which in (0, 1) if repeat % 2 else (1, 0):
            found[repeat, which] = readers[which].seconds()
    for reader in readers:
        reader.close()
    return found


def measured(name: str, path: Path, rows: int, against: Path, repeats: int) -> dict[str, Any]:
    """Figures of one file."""
    pairs = paired(name.split()[0], path, against, repeats)
    size = path.stat().st_size / 1e6
    mine, theirs = np.median(pairs, axis=0).tolist()
    return {
        "file": name,
        "rows": rows,
        "megabytes": round(size, 1),
        "rows_per_second": {"before": round(rows / theirs), "after": round(rows / mine)},
        "megabytes_per_second": {"before": round(size / theirs, 1), "after": round(size / mine, 1)},
        "ratio": round(float(np.median(pairs[:, 1] / pairs[:, 0])), 3),
        "pairs": repeats,
    }


def main() -> None:
    """Write the files, read them, print and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, help="the other checkout")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        logs = write_log(Path(folder), given.rows)
        items = write_items(Path(folder), given.rows // 4)
        for name, path in {**logs, **items}.items():
            rows = given.rows if name.startswith("log") else given.rows // 4
            rows = rows // 4 if name.startswith("catalogue") else rows
            row = measured(name, path, rows, given.against, given.repeats)
            found.append(row)
            speeds = row["rows_per_second"], row["megabytes_per_second"]
            print(
                f"{name:<18}{row['ratio']:>7.2f}   rows/s {speeds[0]['before']:>12,} ->"
                f"{speeds[0]['after']:>12,}   MB/s {speeds[1]['before']:>8,} ->"
                f"{speeds[1]['after']:>8,}",
                flush=True,
            )
    write(RESULTS / "readers.json", {"rows": found, **provenance()})


if __name__ == "__main__":
    main()

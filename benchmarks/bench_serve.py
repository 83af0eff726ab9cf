"""The service under load: latency and throughput, a soak with swaps, and kills.

    python -m benchmarks.bench_serve load [--items 1000 100000 1000000] [--seconds 20]
    python -m benchmarks.bench_serve soak [--items 100000] [--seconds 1800] [--swaps 60]
    python -m benchmarks.bench_serve kills [--kills 20]

The service is a process of its own, ``mmq serve`` as it is by default; this process is its clients,
over loopback, each of which asks again as soon as it is answered. Histories are 20 items long,
10 items are wanted, and nobody filters. Releases hold HeterRec (six codes of 100, and item tokens,
width 128, random weights).

load: of 1 and 32 clients, the latency in milliseconds (p50, p95, p99) and users a second; and users
a second of the same model called in Python in this process, for batches of as many users.
"ratio" is the one over the other. Both processes share the machine's cores; "cpu_ms_per_user" is
the processor time of the service alone, and of Python, which other processes lengthen less.

soak: 32 clients at a steady rate, while releases take turns: two that are whole and one that is
damaged, which has to be refused. Every answer is compared with what its release answers by itself.

kills: clients send events, the service is killed with SIGKILL at a random moment and started
again; every event that was acknowledged has to be there, once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_decode import HISTORY, LENGTH, SIZE, K, draw_codes, our_model
from benchmarks.common import RESULTS, provenance, write
from mmq._formats import read_json, write_json
from mmq.release import MANIFEST, Parts, Release, write_release
from mmq.semantic_ids import SemanticIDs
from mmq.serve._events import EventStore

CLIENTS = (1, 32)
STATIC = {"content-type": "application/json", "host": "127.0.0.1"}


def make_release(folder: Path, name: str, items: int, seed: int) -> Path:
    """A release of random codes and weights."""
    codes = draw_codes(items, seed=seed)
    SemanticIDs.build(range(items), codes, [SIZE] * LENGTH).write(folder / f"{name}.parquet")
    our_model(codes).save(folder / f"model of {name}")
    parts = Parts(folder / f"{name}.parquet", folder / f"model of {name}")
    write_release(parts, folder / "releases" / name)
    return folder / "releases" / name


def damage(release: Path, name: str) -> None:
    """A copy of a release whose codes.json is another one's."""
    copy = release.parent / name
    shutil.copytree(release, copy)
    write_json(copy / MANIFEST, read_json(copy / MANIFEST, "manifest") | {"name": name})
    (copy / "codes.json").unlink()
    (copy / "codes.json").write_text("{}")


class Serving:
    """A service in a process of its own.

    Args:
        releases: folder that it serves.
        options: of ``mmq serve``.
    """

    def __init__(self, releases: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "mmq", "serve", str(releases), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready").read()
                return
            assert self.process.poll() is None, "the service ended before it began"
            time.sleep(0.1)

    def rss(self) -> int:
        """Bytes in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def cpu_seconds(self) -> float:
        """Processor time so far, of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, sign: int = signal.SIGTERM) -> None:
        self.process.send_signal(sign)
        self.process.wait()


class Connection:
    """One client's connection, kept open: HTTP by hand, so that clients cost little beside."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, body: bytes = b"{}") -> tuple[int, bytes]:
        head = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in STATIC.items())]
        self._writer.write("\r\n".join([*head, f"content-length: {len(body)}\r\n\r\n"]).encode())
        self._writer.write(body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(
            int(each.split(":")[1]) for each in lines if each.startswith("content-length")
        )
        return int(lines[0].split()[1]), await self._reader.readexactly(length)


def questions(items: int, count: int = 256) -> list[list[int]]:
    """Histories, always the same."""
    return np.random.default_rng(1).integers(0, items, (count, HISTORY)).tolist()


def bodies(items: int) -> list[bytes]:
    return [json.dumps({"history": each, "k": K}).encode() for each in questions(items)]


async def load(port: int, clients: int, seconds: float, asked: list[bytes]) -> dict[str, float]:
    """Latency and throughput of clients that ask one after the other."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        async with Connection(port) as connection:
            place = number
            while time.perf_counter() < end:
                started = time.perf_counter()
                status, _ = await connection.post("/v1/recommend", asked[place % len(asked)])
                times.append(time.perf_counter() - started)
                assert status == 200
                place += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    p50, p95, p99 = np.percentile(np.array(times) * 1000, [50, 95, 99]).tolist()
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "users_per_second": len(times) / seconds}


def in_python(release: Release, items: int, users: int, seconds: float) -> dict[str, float]:
    """The same model, called here for batches of so many users."""
    asked, busy = questions(items), time.process_time()
    model, done, started = release.models.recommender, 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        first = done % (len(asked) - users + 1)
        model.recommend(asked[first : first + users], K, exclude_history=True)
        done += users
    elapsed, busy = time.perf_counter() - started, time.process_time() - busy
    return {"users_per_second": done / elapsed, "cpu_ms_per_user": 1000 * busy / done}


def measure_load(folder: Path, sizes: list[int], seconds: float) -> list[dict[str, Any]]:
    rows = []
    for items in sizes:
        made = make_release(folder / str(items), "one", items, 0)
        release, asked = Release.load(made), bodies(items)
        release.prepare()
        serving = Serving(made.parent)
        try:
            for clients in CLIENTS:
                asyncio.run(load(serving.port, clients, min(2.0, seconds), asked))  # untimed
                busy = serving.cpu_seconds()
                found = asyncio.run(load(serving.port, clients, seconds, asked))
                busy = serving.cpu_seconds() - busy
                found["cpu_ms_per_user"] = 1000 * busy / (found["users_per_second"] * seconds)
                python = in_python(release, items, clients, seconds / 2)
                ratio = found["users_per_second"] / python["users_per_second"]
                row = {"items": items, "clients": clients, **found, "ratio": ratio}
                rows.append(row | {f"python_{name}": value for name, value in python.items()})
                print({name: round(value, 2) for name, value in rows[-1].items()}, flush=True)
        finally:
            serving.end()
    return rows


def measure_soak(folder: Path, items: int, seconds: float, swaps: int) -> dict[str, Any]:
    first = make_release(folder, "first", items, 0)
    make_release(folder, "second", items, 1)
    damage(first, "damaged")
    expected = {name: _answers(first.parent / name, items) for name in ("first", "second")}
    serving = Serving(first.parent, "--active", "first")
    try:
        found = asyncio.run(_soak(serving, bodies(items), expected, seconds, swaps))
    finally:
        serving.end()
    print(found, flush=True)
    return found


def _answers(folder: Path, items: int) -> list[list[int]]:
    model = Release.load(folder).models.recommender
    model.prepare(items)
    found: list[list[int]] = model.recommend(questions(items), K, exclude_history=True).item_ids
    return found


async def _soak(
    serving: Serving,
    asked: list[bytes],
    expected: dict[str, list[list[int]]],
    seconds: float,
    swaps: int,
) -> dict[str, Any]:
    counts = {"requests": 0, "failed": 0, "mixed": 0, "refused": 0, "swaps": 0}
    end, memory = time.perf_counter() + seconds, [serving.rss()]

    async def client(number: int) -> None:
        async with Connection(serving.port) as connection:
            place = number
            while time.perf_counter() < end:
                status, body = await connection.post("/v1/recommend", asked[place % len(asked)])
                counts["requests"] += 1
                if status != 200:
                    counts["failed"] += 1
                else:
                    counts["mixed"] += not _is_own(json.loads(body), place % len(asked), expected)
                place += 32
                await asyncio.sleep(0.1)

    async def swap() -> None:
        turns = ["second", "damaged", "rollback"]
        async with Connection(serving.port) as connection:
            for number in range(swaps):
                turn = turns[number % 3]
                way = "rollback" if turn == "rollback" else f"{turn}/activate"
                status, _ = await connection.post(f"/v1/releases/{way}")
                counts["swaps"] += status == 200
                counts["refused"] += status == 409 and turn == "damaged"
                memory.append(serving.rss())
                await asyncio.sleep(max(0.0, (end - time.perf_counter()) / (swaps - number)))

    await asyncio.gather(swap(), *(client(number) for number in range(32)))
    return {**counts, "rss_mb": [round(each / 2**20) for each in memory]}


def _is_own(answer: dict[str, Any], place: int, expected: dict[str, list[list[int]]]) -> bool:
    """Whether the items are those of the release that the answer names.

    Batches of other sizes round otherwise, which may exchange neighbours of all but equal scores.
    """
    (result,) = answer["results"]
    items = [item["item_id"] for item in result["items"]]
    own = expected[answer["release"]["name"]][place]
    return len(set(items) & set(own)) >= len(own) - 1


def measure_kills(folder: Path, kills: int) -> dict[str, Any]:
    made = make_release(folder, "one", 1000, 0)
    draw, acknowledged = np.random.default_rng(0), set()
    for number in range(kills):
        serving = Serving(made.parent)
        acknowledged |= asyncio.run(_until_killed(serving, number, float(draw.uniform(0.2, 2.0))))
        serving.process.wait()
        print(f"kill {number + 1}: {len(acknowledged):,} acknowledged", flush=True)
    store = EventStore(f"sqlite:///{made.parent / '.service' / 'events.sqlite'}")
    kept = [int(each) for each in store.history("u", 10**9)]
    lost = acknowledged - set(kept)
    found = {"kills": kills, "acknowledged": len(acknowledged), "kept": len(kept)}
    found |= {"lost": len(lost), "twice": len(kept) - len(set(kept))}
    print(found, flush=True)
    return found


async def _until_killed(serving: Serving, run: int, seconds: float) -> set[int]:
    """Numbers of the events that were acknowledged before the service was killed."""
    acknowledged: set[int] = set()

    async def client(number: int) -> None:
        place = run * 10_000_000 + number * 1_000_000
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with Connection(serving.port) as connection:
                while True:
                    event = {"event_id": str(place), "user_id": "u", "item_id": place}
                    body = json.dumps({"events": [event | {"kind": "click"}]}).encode()
                    status, _ = await connection.post("/v1/events", body)
                    assert status == 200
                    acknowledged.add(place)
                    place += 1

    async def kill() -> None:
        await asyncio.sleep(seconds)
        os.kill(serving.process.pid, signal.SIGKILL)

    await asyncio.gather(kill(), *(client(number) for number in range(8)))
    return acknowledged


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("load", "soak", "kills"):
            (Path(folder) / name).mkdir()
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["load", "soak", "kills"], nargs="?", default="load")
    parser.add_argument("--items", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--swaps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    with workspace() as folder:
        if given.what == "load":
            result: Any = measure_load(folder / "load", given.items, given.seconds)
        elif given.what == "soak":
            result = measure_soak(folder / "soak", given.items[0], given.seconds, given.swaps)
        else:
            result = measure_kills(folder / "kills", given.kills)
    write(RESULTS / f"serve_{given.what}.json", {**provenance(), "result": result})


if __name__ == "__main__":
    main()

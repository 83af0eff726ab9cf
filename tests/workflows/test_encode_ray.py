"""Parts as tasks of Ray: two workers, one of them killed, write what one process writes."""

import os
import shutil
import signal
import sys
import time

import numpy as np
import pytest

from children import start
from mmq import Catalogue, write_catalogue
from mmq.errors import DataError, MissingExtraError
from mmq.workflows import encode_parts, fit

pytest.importorskip("ray", reason="the extra ray is not installed")

PARTS = 4


def items_from(first, rng):
    vectors = rng.normal(size=(100, 6)).round(0) + 0.1
    return Catalogue.build(range(first, first + 100), {"text": vectors})


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    rng = np.random.default_rng(0)
    for part in range(PARTS):
        write_catalogue(folder / "catalogue" / f"{part}.parquet", items_from(100 * part, rng))
    shutil.copytree(folder / "catalogue", folder / "changed")
    write_catalogue(folder / "changed" / "3.parquet", items_from(900, rng))
    first = folder / "catalogue" / "0.parquet"
    fit(first, folder / "tokenizer", "rqkmeans", settings={"codebook_size": 4, "length": 3})
    encode_parts(folder / "catalogue", folder / "tokenizer", folder / "one_process")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _encode(shop, out):
    """Two workers of this machine, which say when they are at a part and then take their time."""
    import ray

    from mmq.workflows import _ray

    def slow(job, task):
        marks = shop / f"{out}_workers"
        marks.mkdir(exist_ok=True)
        (marks / f"{task.name}.{os.getpid()}").touch()
        time.sleep(0.5)
        return plain(job, task)

    plain, _ray._run = _ray._run, slow
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    (shop / "up").touch()
    encode_parts(shop / "catalogue", shop / "tokenizer", shop / out, engine="ray")
    with pytest.raises(DataError) as refused:
        encode_parts(shop / "changed", shop / "tokenizer", shop / out, engine="ray")
    (shop / "refused.txt").write_text(str(refused.value))
    ray.shutdown()
    return 0


def test_a_killed_worker_changes_nothing(shop):
    child = start(_encode, shop, "ids", RAY_USAGE_STATS_ENABLED="0")
    deadline = time.monotonic() + 90
    while not (shop / "up").exists():
        if not child.is_alive() or time.monotonic() > deadline:
            child.kill()
            pytest.skip("Ray does not start on this machine within 90 s")
        time.sleep(0.05)
    marks, deadline = shop / "ids_workers", time.monotonic() + 90
    while not (marks.is_dir() and any(marks.iterdir())):
        assert child.is_alive(), "it ended before a worker could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    part, _, victim = next(marks.iterdir()).name.rpartition(".")
    os.kill(int(victim), signal.SIGKILL)
    child.join(90)
    assert child.exitcode == 0
    workers = {mark.name.rpartition(".")[2] for mark in marks.glob(f"{part}.*")}
    assert len(workers - {victim}) >= 1  # the part was begun anew by another
    assert contents(shop / "ids") == contents(shop / "one_process")
    sentence = (shop / "refused.txt").read_text()
    assert sentence.startswith(f"{shop / 'ids' / '3.parquet'} holds an ID table made from other")


def test_ray_that_is_not_installed(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"mmq-tokenizer\[ray\]"):
        encode_parts(shop / "catalogue", shop / "tokenizer", shop / "none", engine="ray")

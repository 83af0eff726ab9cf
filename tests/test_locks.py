"""One process at a time on an output, and nothing left over of those that were killed."""

import os
import subprocess
import sys
import threading

import pytest

from mmq._artifacts import write_file, write_folder
from mmq._locks import locked, sweep_folder
from mmq.errors import DataError

HOLD = """
import pathlib, sys
from mmq._locks import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A process that holds the lock of ``out``."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "out"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("write", [write_file, lambda path: write_folder(path, "marker")])
def test_the_second_process_is_refused_in_one_sentence(tmp_path, other, write):
    with pytest.raises(DataError, match=r"another process is writing .*out; wait for it to end"):
        write(tmp_path / "out").__enter__()
    with write_file(tmp_path / "beside") as temporary:  # another output is free
        temporary.write_text("whole")


def test_the_lock_of_a_killed_process_is_free(tmp_path, other):
    other.kill()
    other.wait()
    with write_file(tmp_path / "out") as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_lock_is_taken_again_within_the_process(tmp_path):
    with locked(tmp_path / "out"), write_file(tmp_path / "out") as temporary:
        temporary.write_text("whole")
        assert (tmp_path / ".out.lock").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_threads_share_it(tmp_path):
    def write(content):
        for _ in range(20):
            with write_file(tmp_path / "out") as temporary:
                temporary.write_text(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "out").read_text() in ("a", "b")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_leftovers_are_swept_and_other_files_stay(tmp_path):
    ours, others = f".out.{os.getpid()}.tmp", [".out.tmp", ".outer.1.tmp", ".out.1.tmp.kept"]
    (tmp_path / ours).mkdir()
    (tmp_path / ".out.77-0a1b.tmp").write_text("half")
    for name in others:
        (tmp_path / name).write_text("work")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".out.78.tmp").symlink_to(victim)
    with write_folder(tmp_path / "out", "marker") as temporary:
        (temporary / "marker").write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "victim", *others}
    assert victim.read_text() == "precious"


def test_an_output_that_a_killed_process_had_moved_away_is_put_back(tmp_path):
    (tmp_path / ".out.77.old").mkdir()
    (tmp_path / ".out.77.old" / "marker").write_text("old")
    with pytest.raises(KeyError), write_folder(tmp_path / "out", "marker"):
        raise KeyError
    assert (tmp_path / "out" / "marker").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_is_swept_but_for_what_is_being_written(tmp_path, other):
    for name in (".part.lock", ".part.77-0a1b.tmp", "part", ".other"):
        (tmp_path / name).write_text("")
    sweep_folder(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"part", ".other", ".out.lock"}


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / ".out.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(DataError, match="cannot write"):
        write_file(tmp_path / "out").__enter__()
    assert not (tmp_path / "victim").exists()

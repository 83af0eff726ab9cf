import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from mmq._artifacts import beside, check_replaceable, check_writable, write_file, write_folder
from mmq.errors import DataError


def fill(path):
    """Half of a file or of a folder, then a failure."""
    (path / "half" if path.is_dir() else path).write_text("half")
    raise KeyError


def test_what_a_failed_write_made_vanishes_and_the_rest_stays(tmp_path):
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "there" / "new" / "deep" / "f", tmp_path / "there" / "f"):
        for write in (write_file, lambda path: write_folder(path, "marker")):
            with pytest.raises(KeyError), write(target) as temporary:
                fill(temporary)
            assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_folder_that_another_program_filled_meanwhile_stays(tmp_path):
    with pytest.raises(KeyError), write_file(tmp_path / "new" / "f"):
        fill(tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["half"]


def test_a_folder_is_replaced_behind_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "marker").write_text("old")
    link = tmp_path / "link"
    link.symlink_to("real")
    with write_folder(link, "marker") as temporary:
        (temporary / "marker").write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "marker").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_old_folder_stays_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "marker").write_text("old")
    replace = Path.replace

    def refuse(path, to):
        if path.name.endswith(".tmp"):
            raise OSError(errno.EIO, "broken")
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr("mmq._artifacts._exchange", lambda one, other: False)
    with pytest.raises(OSError, match="broken"), write_folder(target, "marker") as temporary:
        (temporary / "marker").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (target / "marker").read_text() == "old"


@pytest.mark.parametrize("at_one_moment", [True, False])
def test_a_folder_takes_the_place_of_an_old_one(tmp_path, monkeypatch, at_one_moment):
    if not at_one_moment:
        monkeypatch.setattr("mmq._artifacts._exchange", lambda one, other: False)
    for content in ("old", "new"):
        with write_folder(tmp_path / "folder", "marker") as temporary:
            (temporary / "marker").write_text(content)
    assert (tmp_path / "folder" / "marker").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def bind(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


@pytest.mark.parametrize("make", [os.mkfifo, bind])
def test_what_is_no_regular_file_is_left_alone(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    make("special")
    for write in (check_writable, lambda path: write_file(path).__enter__()):
        with pytest.raises(DataError, match="special is not a regular file and is left alone"):
            write(Path("special"))
    assert [path.name for path in tmp_path.iterdir()] == ["special"]


def test_a_file_is_replaced_behind_a_link(tmp_path):
    (tmp_path / "link").symlink_to("real")
    for content in ("made", "replaced"):
        with write_file(tmp_path / "link") as temporary:
            temporary.write_text(content)
        assert (tmp_path / "real").read_text() == content
    assert (tmp_path / "link").is_symlink()


def test_the_umask_decides_who_may_read(tmp_path):
    before = os.umask(0o027)
    try:
        with write_file(tmp_path / "f") as temporary:
            temporary.unlink()
            temporary.touch(0o600)  # as safetensors does
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640


def test_no_output_goes_into_a_folder_that_is_read(tmp_path):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "link").symlink_to("tokenizer")
    for name in ("tokenizer/new", "tokenizer/deep/new", "link/new"):
        with pytest.raises(DataError, match="which is read here"):
            check_writable(tmp_path / name, [tmp_path / "tokenizer"])
    check_writable(tmp_path / "tokenizer2", [tmp_path / "tokenizer"])


def test_a_mount_point_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    with pytest.raises(DataError, match="where a disk is mounted"):
        check_replaceable(tmp_path, "marker")
    check_replaceable(tmp_path / "new", "marker")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, "the disk is full: {} was not written"),
        (errno.EACCES, "cannot write {}: "),
        (errno.EFBIG, "cannot write {}: "),
    ],
)
def test_a_refusal_of_the_disk_names_what_was_asked_for(tmp_path, code, expected):
    """Not the part of it, under a temporary name, that happened to be written."""
    target = tmp_path / "folder"
    with (
        pytest.raises(DataError) as error,
        write_folder(target, "marker") as temporary,
        write_file(temporary / "part"),
    ):
        raise OSError(code, "no")
    assert str(error.value).startswith(expected.format(target))
    assert list(tmp_path.iterdir()) == []


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(OSError, match="odd"), write_file(tmp_path / "f"):
        raise OSError(errno.EIO, "odd")
    with pytest.raises(DataError, match=r"^a mistake$"), write_file(tmp_path / "f"):
        raise DataError("a mistake")


@pytest.mark.parametrize("path", [".", "/", "..", "a/.."])
def test_a_path_without_a_name_has_nothing_beside_it(path):
    with pytest.raises(DataError, match="name of its own"):
        beside(path, "tmp")


def test_paths_that_cannot_be_written_are_refused_early(tmp_path):
    source, link = tmp_path / "source", tmp_path / "link"
    source.write_text("work")
    link.symlink_to(source)
    check_writable(tmp_path / "new" / "f", [source, tmp_path / "gone"])
    check_writable(source, [tmp_path / "gone"])
    with pytest.raises(DataError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(DataError, match="source is a file, not a folder"):
        check_writable(source / "deep" / "f")
    with pytest.raises(DataError, match="source is a file, not a folder"):
        check_replaceable(source / "deep", "marker")
    with pytest.raises(DataError, match="would be lost"):
        check_writable(link, [source])

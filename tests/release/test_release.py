from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmq._formats import read_json, write_json
from mmq.errors import DataError, FormatError, SettingsError, UserError
from mmq.recommenders import Recommender
from mmq.release import MANIFEST, Release, write_release
from mmq.semantic_ids import SemanticIDs
from release_shop import SOLD, append, parts, write_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    append(folder)
    return folder


@pytest.fixture(scope="module")
def made(shop) -> Path:
    write_release(parts(shop), shop / "releases" / "first")
    return shop / "releases" / "first"


def copied(made: Path, folder: Path, name: str = "first") -> Path:
    shutil.copytree(made, folder / name)
    for path in (folder / name).rglob("*"):
        path.chmod(0o755)
    return folder / name


def test_it_answers_as_its_parts_do_to_the_bit(shop, made) -> None:
    release = Release.load(made)
    release.prepare()
    histories = [[1, 5, 9], [2], [7, 3]]
    expected = Recommender.load(shop / "heterrec").recommend(histories, 5, exclude_history=True)
    answers = release.models.recommender.recommend(histories, 5, exclude_history=True)
    assert answers == expected
    assert release.models.ranker.score(1, [2, 3], [4, 5]).shape == (2,)


def test_the_index_is_mapped_from_the_file(made) -> None:
    recommender = Release.load(made).models.recommender
    assert len(recommender.index) == SOLD
    assert "index.safetensors" in Path("/proc/self/maps").read_text()


def test_what_is_shown_goes_by_the_rows_of_the_table(made) -> None:
    release = Release.load(made)
    rows = release.rows([3, "4", 999, "x", 2**70, "-1"])
    assert rows.tolist() == [2, 3, -1, -1, -1, -1]
    assert release.shown.titles(rows[:1]) == ["Toy 3 <script>alert(3)</script>"]
    assert release.shown.attributes(0) == {"type": ["boat", "toy"]}
    assert np.flatnonzero(release.shown.have("type", "train")).tolist()[:3] == [1, 4, 7]
    assert release.shown.picture(0)[:2] == b"\xff\xd8"
    assert release.shown.find("toy 12", 5).tolist() == [11]


def test_new_items_need_no_training(shop) -> None:
    manifest = write_release(parts(shop, "more.parquet"), shop / "releases" / "second")
    release = Release.load(shop / "releases" / "second")
    assert (manifest.items, manifest.new_items) == (40, 4)
    assert np.flatnonzero(release.new).tolist() == [36, 37, 38, 39]
    assert release.shown.picture(39) is None  # its file is gone
    assert release.models.ranker.score(1, [2], [40]).shape == (1,)


def test_equal_parts_have_equal_fingerprints(shop, made) -> None:
    again = write_release(parts(shop), shop / "releases" / "again")
    other = write_release(parts(shop, model="popularity"), shop / "releases" / "popular")
    assert again.fingerprint == Release.load(made).identity.fingerprint != other.fingerprint


def test_a_recommender_without_ids_has_rows_of_its_own(shop) -> None:
    write_release(parts(shop, "more.parquet", "popularity"), shop / "releases" / "counts")
    release = Release.load(shop / "releases" / "counts")
    assert len(release.own_rows) == 40
    assert release.own_rows[36:].tolist() == [-1] * 4
    assert (
        release.item_ids(release.table_rows)
        == release.models.recommender.items.item_ids.to_pylist()
    )


def test_no_path_of_this_machine_goes_into_a_release(shop, made) -> None:
    for path in (each for each in made.rglob("*") if each.is_file()):
        assert str(shop).encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [
        ("ids", "other.parquet", "come from"),
        ("tokenizer", "other", "not"),
        ("model", "ppnet", "holds a ranker"),
        ("ranker", "heterrec", "holds a recommender"),
        ("model", "nowhere", "no model"),
        ("ids", "nowhere.parquet", "no semantic ID table"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    shop, tmp_path, part, value, sentence
) -> None:
    other = SemanticIDs.read(shop / "ids.parquet")
    manifest = {**other.manifest, "tokenizer": {"name": "opq", "fingerprint": "0" * 64}}
    other.recoded(other.codes[::-1], manifest).write(shop / "other.parquet")
    if not (shop / "other").exists():
        shutil.copytree(shop / "tokenizer", shop / "other")
        config = read_json(shop / "other" / "config.json", "config")
        write_json(shop / "other" / "config.json", config | {"mmq": "0"})
    with pytest.raises(UserError, match=sentence):
        write_release(replace(parts(shop), **{part: shop / value}), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_release_never_changes(shop, made) -> None:
    with pytest.raises(DataError, match="never changes"):
        write_release(parts(shop), made)


def test_a_name_is_no_path(shop, tmp_path) -> None:
    with pytest.raises(SettingsError, match="no name for a release"):
        write_release(parts(shop), tmp_path / "a b")


@pytest.mark.parametrize(
    "kind", ["index.safetensors", "ids.parquet", "recommender/model.safetensors"]
)
def test_a_damaged_part_is_refused_by_its_hash(made, tmp_path, kind) -> None:
    folder = copied(made, tmp_path)
    data = bytearray((folder / kind).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / kind).write_bytes(data)
    with pytest.raises(FormatError, match="was changed"):
        Release.load(folder)


def test_a_missing_part_a_renamed_folder_and_a_changed_manifest_are_refused(made, tmp_path) -> None:
    (copied(made, tmp_path) / "codes.json").unlink()
    with pytest.raises(FormatError, match=r"lacks its file codes\.json"):
        Release.load(tmp_path / "first")
    with pytest.raises(FormatError, match="rename the folder back"):
        Release.load(copied(made, tmp_path, "renamed"))
    folder = copied(made, tmp_path / "third")
    manifest = read_json(folder / MANIFEST, "manifest")
    del manifest["files"]["codes.json"]
    write_json(folder / MANIFEST, manifest)
    with pytest.raises(FormatError, match="was changed"):
        Release.load(folder)
    write_json(folder / MANIFEST, manifest | {"format": 2})
    with pytest.raises(FormatError, match="upgrade mmq"):
        Release.load(folder)
    with pytest.raises(DataError, match="no release"):
        Release.load(tmp_path / "nothing")

"""The generated world: bytes of a part alone, common information, popularity, whole users."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.world import World, make_world, write_catalogue_part, write_interactions_part
from benchmarks.world.items import catalogue_part
from benchmarks.world.tree import LEAVES, Tree
from benchmarks.world.users import events_part
from mmq.data import CatalogueFile, read_interactions
from mmq.errors import DataError

SMALL = World(items=2000, users=1500, parts=3, seed=4)


def canonical_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    axes = [np.linalg.svd(each - each.mean(0), full_matrices=False)[0] for each in (first, second)]
    return np.linalg.svd(axes[0].T @ axes[1], compute_uv=False)


def popularity(world: World) -> np.ndarray:
    events = events_part(world, Tree.of(world), 0)
    return np.bincount(events.items, minlength=world.items)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def test_a_part_has_the_same_bytes_in_any_order_and_again(tmp_path):
    made = list(make_world(SMALL, tmp_path / "whole"))
    assert len(made) == 6
    for kind in ("catalogue", "interactions"):
        (tmp_path / "turned" / kind).mkdir(parents=True)
    for part in (2, 0, 1):
        write_interactions_part(SMALL, Tree.of(SMALL), tmp_path / "turned", part)
        write_catalogue_part(SMALL, Tree.of(SMALL), tmp_path / "turned", part)
    assert files(tmp_path / "turned") == files(tmp_path / "whole")
    list(make_world(SMALL.model_copy(update={"seed": 5}), tmp_path / "other"))
    other = files(tmp_path / "other")
    assert all(other[name] != made for name, made in files(tmp_path / "whole").items())


def test_a_killed_run_goes_on_and_another_world_is_refused(tmp_path):
    list(make_world(SMALL, tmp_path))
    whole = files(tmp_path)
    (tmp_path / "catalogue" / "part-00001.parquet").unlink()
    list(make_world(SMALL, tmp_path))
    assert files(tmp_path) == whole
    with pytest.raises(DataError, match="holds another world"):
        list(make_world(World(items=2001, users=1500, parts=3, seed=4), tmp_path))


def test_the_parts_are_one_catalogue_and_one_log(tmp_path):
    list(make_world(SMALL, tmp_path))
    catalogue = CatalogueFile(tmp_path / "catalogue")
    assert catalogue.dimensions == {"text": 64, "image": 64}
    assert catalogue.item_ids().to_pylist() == list(range(2000))
    log = read_interactions(tmp_path / "interactions")
    assert set(log.user_ids.to_pylist()) == set(range(1500))
    assert log.item_ids.to_numpy().max() < 2000
    assert log.has_moments


def test_every_user_is_in_one_part_in_time_and_takes_an_item_once(tmp_path):
    list(make_world(SMALL, tmp_path))
    seen = set()
    for path in sorted((tmp_path / "interactions").iterdir()):
        log = pq.read_table(path).to_pandas()
        assert not seen & set(log["user_id"])
        seen |= set(log["user_id"])
        assert log["timestamp"].is_monotonic_increasing
        assert not log.duplicated(["user_id", "item_id"]).any()


@pytest.mark.parametrize("shared", [0.2, 0.8])
def test_modalities_share_what_was_asked(shared):
    world = World(items=20_000, parts=1, shared=shared, noise=0.001)
    items = catalogue_part(world, Tree.of(world), 0)
    found = canonical_correlations(*items.embeddings.values())
    assert found[:16].mean() == pytest.approx(shared, abs=0.05)
    assert found[17:].max() < 0.2  # number 16 is the length that unit vectors lost


def test_embeddings_lie_in_a_cone():
    world = World(items=20_000, parts=1)
    for matrix in catalogue_part(world, Tree.of(world), 0).embeddings.values():
        assert np.linalg.norm(matrix, axis=1) == pytest.approx(np.ones(20_000), abs=1e-5)
        assert np.linalg.norm(matrix.mean(0)) == pytest.approx(0.5, abs=0.05)


def test_popularity_falls_by_the_exponent_asked():
    slopes = []
    for exponent in (0.6, 1.0):
        world = World(items=20_000, users=60_000, parts=1, leaf_exponent=exponent)
        counts = np.sort(popularity(world))[::-1]
        rank = np.arange(20, 2000)
        slopes.append(-np.polyfit(np.log(rank + 1), np.log(counts[rank]), 1)[0])
    assert slopes == pytest.approx([0.6, 1.0], abs=0.15)


def test_ids_and_places_in_the_tree_are_each_others_inverse():
    tree = Tree.of(SMALL)
    leaf = np.repeat(np.arange(len(tree.follower)), tree.size(np.arange(len(tree.follower))))
    rank = np.concatenate([np.arange(size) for size in np.bincount(leaf)])
    ids = tree.ids(leaf, rank)
    assert np.array_equal(np.sort(ids), np.arange(2000))
    assert np.array_equal(tree.leaf_of(ids), leaf)


def test_what_was_taken_before_tells_more_than_popularity():
    world = World(items=20_000, users=20_000, parts=1)
    tree = Tree.of(world)
    events = events_part(world, tree, 0)
    order = np.lexsort((events.times, events.users))
    leaf, users = tree.leaf_of(events.items[order]), events.users[order]
    same = users[1:] == users[:-1]
    before, after = leaf[:-1][same], leaf[1:][same]
    follows = tree.follower[before] == after
    assert follows.mean() > world.follows - 0.1
    assert np.bincount(leaf).max() / len(leaf) < 0.1
    before, after = before[~follows] // LEAVES, after[~follows] // LEAVES
    by_chance = np.random.default_rng(0).permutation(after)
    assert (before == after).mean() > 1.5 * (before == by_chance).mean(), "tastes last"

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.tokenizers._kmeans import (
    Clusters,
    euclidean_kmeans,
    kmeans,
    member_sums,
    nearest,
    shrunk,
    spherical_kmeans,
    starting_means,
)

STARTS = ["spherical", "k-means++", "sample"]


def blobs(items=400, clusters=12, width=8, spread=0.05, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, width))
    points = centres[rng.integers(clusters, size=items)] + spread * rng.normal(size=(items, width))
    return torch.from_numpy(points.astype(np.float32))


def hub(items=1500, width=256):
    """Points of one shell, all but orthogonal: what residuals look like."""
    points = np.random.default_rng(1).normal(size=(items, width))
    return torch.from_numpy(points.astype(np.float32))


def distortion(points, means):
    return float(torch.cdist(points.double(), means.double()).square().min(1).values.mean())


def plain_lloyd(points, means, iterations):
    """The oracle: loops over points and means, no repair."""
    points, means = points.numpy().astype(float), means.numpy().astype(float)
    for _ in range(iterations):
        labels = [int(np.argmin([np.sum((x - c) ** 2) for c in means])) for x in points]
        for k in range(len(means)):
            members = [x for x, label in zip(points, labels, strict=True) if label == k]
            means[k] = np.mean(members, axis=0)
    error = np.mean([np.sum((x - means[k]) ** 2) for x, k in zip(points, labels, strict=True)])
    return means, error


def test_lloyd_is_what_plain_loops_make():
    points = blobs(120, 6, spread=0.8)
    start = points[:5]
    found = kmeans(points, start, 4)
    means, error = plain_lloyd(points, start, 4)
    np.testing.assert_allclose(found.means.numpy(), means, atol=1e-5)
    assert found.distortions[-1] == pytest.approx(error, rel=1e-5)
    np.testing.assert_allclose(found.counts.numpy(), np.bincount(found.labels, minlength=5))


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 9), st.sampled_from(STARTS))
def test_distortion_never_rises(seed, clusters, width, start):
    points = blobs(60, 7, width, spread=0.5, seed=seed)
    generator = np.random.default_rng(seed)
    found = kmeans(points, starting_means(points, clusters, generator, start), 15)
    falls = np.diff(found.distortions)
    assert (falls <= 1e-5 * found.distortions[0] + 1e-6).all()
    assert distortion(points, found.means) <= found.distortions[-1] + 1e-5
    assert torch.isfinite(found.means).all()


@pytest.mark.parametrize("start", STARTS)
def test_it_finds_blobs_and_repeats_itself(start):
    points = blobs()
    one, two = (
        kmeans(points, starting_means(points, 12, np.random.default_rng(3), start), 50)
        for _ in range(2)
    )
    assert torch.equal(one.means, two.means)
    assert len(one.distortions) < 50  # it ended when nothing moved
    assert one.distortions[-1] < 0.3 * float(points.var(0).sum())


def test_k_means_plus_plus_reaches_every_blob():
    points = blobs(items=3000, clusters=40, width=24, spread=0.01)
    means = starting_means(points, 64, np.random.default_rng(0), "k-means++")
    assert distortion(points, means) < 0.1
    assert len(means.unique(dim=0)) == 64


@pytest.mark.parametrize("start", STARTS)
def test_duplicates_and_as_many_clusters_as_points(start):
    points = torch.cat([blobs(10, 3)] * 2)
    found = kmeans(points, starting_means(points, 20, np.random.default_rng(0), start), 10)
    assert found.distortions[-1] == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(found.means).all()


def test_a_mean_without_members_restarts_at_the_farthest_point():
    points = torch.cat([blobs(200, 4), torch.full((1, 8), 30.0)])
    lost = torch.full((1, 8), -1e4)
    found = kmeans(points, torch.cat([points[:4], lost]), 1)
    assert torch.equal(found.means[4], points[-1])
    assert found.counts[4] == 1
    assert kmeans(points, torch.cat([points[:4], lost]), 5).labels[-1] == 4


def test_a_start_by_direction_has_no_hub():
    points = hub()
    loss, largest = {}, {}
    for start in STARTS:
        means = starting_means(points, 64, np.random.default_rng(0), start)
        found = kmeans(points, means, 25)
        loss[start] = found.distortions[-1]
        largest[start] = float(found.counts.max()) / len(points)
    assert largest["spherical"] < 0.06 < largest["sample"]
    assert loss["spherical"] < min(loss["sample"], loss["k-means++"])


def test_balanced_clusters_are_of_more_even_size():
    points = hub(width=64)
    start = starting_means(points, 32, np.random.default_rng(0), "sample")
    plain, even = (kmeans(points, start, 60, balanced=flag) for flag in (False, True))
    assert float(even.counts.std()) < 0.5 * float(plain.counts.std())
    exported = torch.bincount(nearest(points, even.means), minlength=32).float()
    assert float(exported.std()) < 0.5 * float(plain.counts.std())


@given(st.integers(1, 300), st.integers(1, 30), st.integers(1, 12), st.integers(0, 99))
def test_nearest_and_member_sums_are_what_loops_make(items, clusters, width, seed):
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(rng.normal(size=(items, width)).astype(np.float32))
    means = torch.from_numpy(rng.normal(size=(clusters, width)).astype(np.float32))
    labels = nearest(points, means)
    gaps = torch.cdist(points.double(), means.double()).square()
    chosen = gaps.gather(1, labels[:, None]).squeeze(1)
    assert (chosen <= gaps.min(1).values + 1e-4).all()
    sums = np.zeros((clusters, width))
    for point, label in zip(points.numpy(), labels.tolist(), strict=True):
        sums[label] += point
    np.testing.assert_allclose(member_sums(points, labels, clusters).numpy(), sums, atol=1e-4)


def test_nearest_reads_views_and_more_points_than_a_block():
    wide = torch.from_numpy(np.random.default_rng(0).normal(size=(9000, 12)).astype(np.float32))
    view, means = wide[:, 4:8], wide[:50, 4:8]
    assert torch.equal(nearest(view, means), nearest(view.contiguous(), means.contiguous()))
    assert nearest(view, means)[:50].tolist() == list(range(50))


def test_prices_keep_points_away():
    points = torch.tensor([[0.0], [1.0], [2.0]])
    means = torch.tensor([[0.0], [2.0]])
    assert nearest(points[:1], means, torch.tensor([-10.0, 0.0])).tolist() == [1]


def test_shrinkage_is_so_many_members_at_the_centre():
    points = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 6.0]])
    found = Clusters(torch.tensor([[3.0, 0.0], [0.0, 6.0]]), torch.tensor([2.0, 1.0]), None, [])
    centre = points.mean(0)
    expected = torch.stack([(points[:2].sum(0) + 3 * centre) / 5, (points[2] + 3 * centre) / 4])
    torch.testing.assert_close(shrunk(found, centre, 3.0), expected)
    torch.testing.assert_close(shrunk(found, centre, 0.0), found.means)


def test_spherical_kmeans_goes_by_direction():
    directions = torch.nn.functional.normalize(blobs(300, 5, spread=0.01), dim=1)
    lengths = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 5, (300, 1)).astype("f4"))
    means = spherical_kmeans(directions * lengths, 20, np.random.default_rng(1), 10)
    cosines = directions @ torch.nn.functional.normalize(means, dim=1).T
    assert float(cosines.max(1).values.min()) > 0.99


def test_euclidean_kmeans_lowers_the_error_of_its_start():
    points = blobs(spread=0.4)
    start = starting_means(points, 10, np.random.default_rng(0), "spherical")
    found = euclidean_kmeans(points, 10, np.random.default_rng(0))
    assert distortion(points, found) < distortion(points, start)

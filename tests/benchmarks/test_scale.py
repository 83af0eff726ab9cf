"""How stages grow, and the line that is drawn to 40 million."""

import json

import pytest

from benchmarks import bench_scale
from benchmarks.bench_scale import AIM, extrapolated, growth, run
from benchmarks.scale_stages import STAGES, Size


def cells(stage, seconds, users=10):
    return [
        {"stage": stage, "items": items, "handled": items, "users": users,
         "processor_seconds": seconds(items), "peak_mb": 300 + items / 1000}
        for items in (10_000, 100_000, 1_000_000)
    ]  # fmt: skip


def test_a_linear_stage_has_the_exponent_one_and_a_square_one_two():
    found = growth([*cells("fit", lambda n: n / 100), *cells("encode", lambda n: n * n / 1e6)])
    assert [each["processor_seconds"] for each in found] == pytest.approx([1, 1, 2, 2])
    assert [(each["stage"], each["from"]) for each in found[:2]] == [("fit", 10**4), ("fit", 10**5)]


def test_forty_million_are_on_the_line_through_the_two_largest_sizes():
    line = extrapolated(cells("encode", lambda n: 3 + n / 1000))[0]
    assert line["processor_seconds"]["at_40_million"] == pytest.approx(3 + AIM / 1000)
    assert line["peak_mb"]["at_40_million"] == pytest.approx(300 + AIM / 1000)
    assert line["processor_seconds"]["from"] == [100_000, 1_000_000]


def test_sizes_with_other_users_are_not_on_one_line():
    few = cells("encode", lambda n: n / 1000)
    few[-1]["users"] = 3
    assert extrapolated(few)[0]["processor_seconds"]["from"] == [10_000, 100_000]


def test_what_is_measured_is_not_measured_again(tmp_path, monkeypatch):
    asked = []

    def measured(command, folder):
        asked.append(command)
        (folder / "tokenizer").mkdir(exist_ok=True)
        return {"wall_seconds": 1.0, "processor_seconds": 1.0, "peak_mb": 1}

    monkeypatch.setattr(bench_scale, "measured", measured)
    out = tmp_path / "scale.json"
    for sizes in ([1000], [1000, 2000]):
        run(sizes, ["fit"], tmp_path / "work", out)
    assert len(asked) == 2
    assert [each["items"] for each in json.loads(out.read_text())["cells"]] == [1000, 2000]


def test_every_stage_of_every_size_is_a_command():
    for items in (10_000, 10_000_000):
        size = Size.of(items)
        assert all("{" not in size.command(stage) for stage in STAGES)
        assert size.handled("encode") + size.handled("append") == items

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmq.data._items import ItemColumns
from mmq.data._parquet import CatalogueFile, read_catalogue
from mmq.encoders._embed import Embedding, embed
from mmq.encoders._light import LightImageEncoder, LightTextEncoder
from mmq.encoders._template import TextTemplate
from mmq.errors import DataError, FormatError, SettingsError

ITEMS = 23
TITLES = TextTemplate.of_columns(("title", "plot"))


class BatchCounting:
    """A text encoder whose vectors tell in which company a text was encoded."""

    dimension = 3

    def __init__(self, stop_at: int | None = None, fill: float = 1.0) -> None:
        self.calls = 0
        self._stop_at, self._fill = stop_at, fill

    def encode(self, batch):
        if self.calls == self._stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        rows = [(len(text), sum(map(len, batch)), self._fill) for text in batch]
        return np.array(rows, dtype=np.float32)


@pytest.fixture
def items(tmp_path) -> Path:
    """Items 0 to 22 with pictures; 3 has no text, 5 no picture."""
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for item in range(ITEMS):
        Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)).save(
            folder / f"images/{item}.png"
        )
        row = {"item": item, "title": f"kite {item}", "plot": "flies " * item, "price": item / 2}
        rows.append({**row, "photo": f"images/{item}.png"})
    rows[3] |= {"title": None, "plot": " "}
    rows[5]["photo"] = None
    rows[6]["photo"] = str(folder / "images/6.png")
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "items.jsonl"


def _task(items: Path, **changes) -> Embedding:
    values = {
        "text": TITLES,
        "columns": ItemColumns("item", image="photo", attributes=("price",)),
        "text_encoder": "light",
        "image_encoder": "light",
        "batch_size": 4,
    }
    return Embedding(items, **{**values, **changes})


def test_every_row_is_its_items_embedding(items, tmp_path):
    result = embed(_task(items), tmp_path / "out/c.parquet")
    catalogue = read_catalogue(tmp_path / "out/c.parquet")
    assert catalogue.item_ids.to_pylist() == list(range(ITEMS))
    texts = [f"kite {i}. " + ("flies " * i).strip() if i else "kite 0" for i in range(ITEMS)]
    paths = [items.parent / f"images/{i}.png" for i in range(ITEMS)]
    expected = {
        "text": (LightTextEncoder().encode(texts), 3),
        "image": (LightImageEncoder().encode([Image.open(p) for p in paths]), 5),
    }
    for name, (matrix, missing) in expected.items():
        present = np.arange(ITEMS) != missing
        np.testing.assert_array_equal(catalogue.present[name], present)
        np.testing.assert_array_equal(catalogue.embeddings[name][present], matrix[present])
        assert result["modalities"][name]["missing"] == 1
        assert result["modalities"][name]["encoder"] == "light"
        assert result["modalities"][name]["items_per_second"] > 0
    assert catalogue.attributes.column_names == ["title", "image_path", "price"]
    assert result["items"] == ITEMS
    assert result["bad_images"] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.parquet"]


@pytest.mark.parametrize("left_out", ["text", "image"])
def test_a_modality_can_be_left_out(items, tmp_path, left_out):
    changes = {"text": {"text": None}, "image": {"columns": ItemColumns("item")}}[left_out]
    embed(_task(items, **changes), tmp_path / "c.parquet")
    kept = {"text": "image", "image": "text"}[left_out]
    assert list(CatalogueFile(tmp_path / "c.parquet").dimensions) == [kept]


def test_reduction_is_fitted_and_later_applied_alike(items, tmp_path):
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    result = embed(_task(items, reduce=5), old)
    assert result["modalities"]["text"]["dimension"] == 5
    assert 0 < result["modalities"]["image"]["explained_variance"] <= 1
    embed(_task(items, reduce_like=old), new)
    assert new.read_bytes() == old.read_bytes()
    with pytest.raises(DataError, match="has the modalities text, image, this run has text"):
        embed(_task(items, columns=ItemColumns("item"), reduce_like=old), new)


@pytest.mark.parametrize("stop_at", [0, 1, 3, 5])
def test_a_stopped_run_resumes_to_the_same_bytes(items, tmp_path, stop_at):
    whole, resumed = tmp_path / "whole.parquet", tmp_path / "resumed.parquet"
    embed(_task(items, text_encoder=BatchCounting()), whole)
    with pytest.raises(KeyboardInterrupt):
        embed(_task(items, text_encoder=BatchCounting(stop_at)), resumed)
    partial = tmp_path / "resumed.parquet.partial"
    with (partial / "text.npy").open("ab") as file:
        file.write(b"\1" * 15)  # a batch that was being written
    rest = BatchCounting()
    result = embed(_task(items, text_encoder=rest), resumed, resume=True)
    assert rest.calls == 6 - stop_at
    assert resumed.read_bytes() == whole.read_bytes()
    assert not partial.exists()
    assert result["modalities"]["text"]["encoder"] == "BatchCounting"


def test_a_killed_process_resumes_to_the_same_bytes(items, tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from mmq.data._items import ItemColumns\n"
        "from mmq.encoders import _light as light\n"
        "from mmq.encoders._embed import Embedding, embed\n"
        "from mmq.encoders._template import TextTemplate\n"
        "encode = light.LightImageEncoder.encode\n"
        "def slow(self, images):\n"
        "    time.sleep(float(sys.argv[3])); return encode(self, images)\n"
        "light.LightImageEncoder.encode = slow\n"
        "task = Embedding(Path(sys.argv[1]), TextTemplate.of_columns(('title', 'plot')),\n"
        "    ItemColumns('item', image='photo'), 'light', 'light', batch_size=4)\n"
        "print(embed(task, sys.argv[2], resume=True)['items'])"
    )

    def start(out: str, pause: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", script, str(items), str(tmp_path / out), str(pause)]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    killed = start("killed.parquet", 0.5)
    rows = tmp_path / "killed.parquet.partial/image.npy"
    limit = time.monotonic() + 60
    while not (rows.exists() and rows.stat().st_size > 4 * 768 * 4) and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert rows.exists()
    assert not (tmp_path / "killed.parquet").exists()
    for out in ("killed.parquet", "whole.parquet"):
        assert start(out, 0).communicate()[0].split() == [str(ITEMS).encode()]
    assert (tmp_path / "killed.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def _stop(items: Path, out: Path, **changes) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed(_task(items, text_encoder=BatchCounting(2), **changes), out)


def test_without_resume_unfinished_batches_are_dropped(items, tmp_path):
    _stop(items, tmp_path / "c.parquet")
    again = BatchCounting(fill=2.0)
    embed(_task(items, text_encoder=again), tmp_path / "c.parquet")
    assert again.calls == 6
    catalogue = read_catalogue(tmp_path / "c.parquet")
    assert set(catalogue.embeddings["text"][catalogue.present["text"], 2]) == {2.0}


def test_another_run_is_not_resumed(items, tmp_path):
    _stop(items, tmp_path / "c.parquet")
    with pytest.raises(FormatError, match="batch size 4, not 5"):
        embed(
            _task(items, text_encoder=BatchCounting(), batch_size=5),
            tmp_path / "c.parquet",
            resume=True,
        )
    items.write_text(items.read_text().replace("kite 0", "moth 0"))
    with pytest.raises(FormatError, match="another items, text "):
        embed(_task(items), tmp_path / "c.parquet", resume=True)


def test_a_folder_of_somebody_else_is_left_alone(items, tmp_path):
    (tmp_path / "c.parquet.partial").mkdir()
    (tmp_path / "c.parquet.partial/thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds other files"):
        embed(_task(items), tmp_path / "c.parquet")
    assert (tmp_path / "c.parquet.partial/thesis.txt").read_text() == "years of work"


def test_a_missing_image_is_found_before_anything_is_encoded(items, tmp_path):
    (items.parent / "images/9.png").unlink()
    encoder = BatchCounting()
    with pytest.raises(DataError, match=r"item 9: there is no image .*/9.png; replace") as caught:
        embed(_task(items, text_encoder=encoder), tmp_path / "c.parquet")
    assert "--skip-bad-images" in str(caught.value)
    assert encoder.calls == 0
    assert not (tmp_path / "c.parquet.partial").exists()


def test_bad_images_stop_the_run_or_count_as_missing(items, tmp_path):
    (items.parent / "images/9.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (items.parent / "images/10.png").unlink()
    (items.parent / "images/10.png").symlink_to(items)
    with pytest.raises(DataError, match=r"item 9: the image .* cannot be read"):
        embed(_task(items), tmp_path / "c.parquet")
    assert not (tmp_path / "c.parquet").exists()
    result = embed(_task(items, skip_bad_images=True), tmp_path / "c.parquet", resume=True)
    assert result["bad_images"] == 2
    assert result["modalities"]["image"]["missing"] == 3
    present = read_catalogue(tmp_path / "c.parquet").present["image"]
    assert np.flatnonzero(~present).tolist() == [5, 9, 10]


def test_web_addresses_are_refused(items, tmp_path):
    items.write_text(items.read_text().replace("images/2.png", "https://example.org/2.png"))
    with pytest.raises(DataError, match=r"the image of item 2 is a web address .*download"):
        embed(_task(items), tmp_path / "c.parquet")


def test_an_unknown_column_names_the_nearest(items, tmp_path):
    wrong = TextTemplate.of_columns(("titel",))
    with pytest.raises(DataError, match=r"no column 'titel'; did you mean 'title'.*--text-columns"):
        embed(_task(items, text=wrong), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="no column 'foto'; did you mean 'photo'"):
        embed(_task(items, columns=ItemColumns("item", image="foto")), tmp_path / "c.parquet")


def test_nan_of_an_encoder_names_the_item(items, tmp_path):
    with pytest.raises(DataError, match="text encoder gave NaN or infinity for item 0"):
        embed(_task(items, text_encoder=BatchCounting(fill=float("nan"))), tmp_path / "c.parquet")


def test_a_reduction_that_cannot_be_is_found_before_anything_is_encoded(items, tmp_path):
    embed(_task(items), tmp_path / "plain.parquet")
    with pytest.raises(DataError, match="keeps no PCA"):
        embed(_task(items, reduce_like=tmp_path / "plain.parquet"), tmp_path / "c.parquet")
    with pytest.raises(SettingsError, match="cannot be reduced to 500 dimensions"):
        embed(_task(items, reduce=500), tmp_path / "c.parquet")
    assert not list(tmp_path.glob("c.parquet*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None, "columns": ItemColumns("item")}, "nothing to embed"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"columns": ItemColumns("item", attributes=("text",))}, "--attribute text"),
    ],
)
def test_settings_that_make_no_sense_are_refused(items, changes, message):
    with pytest.raises(SettingsError, match=message):
        _task(items, **changes)


@pytest.mark.encoders
def test_packaged_encoders_give_the_published_embeddings(data_folder, tmp_path):
    """The reference arrays were made elsewhere; 24 films of MovieLens are enough to compare."""
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("efficientnet_lite_pytorch")
    source = data_folder / "ml1m"
    rows = (source / "items.jsonl").read_text().splitlines(keepends=True)
    picked = [row for row in range(0, len(rows), 150) if json.loads(rows[row])["image"]][:24]
    (tmp_path / "items.jsonl").write_text("".join(rows[row] for row in picked))
    (tmp_path / "images").symlink_to(source / "images")
    template = "{title}. {genres}. directed by {director}. starring {actors}. {plot}"
    task = Embedding(
        tmp_path / "items.jsonl", TextTemplate.parse(template), ItemColumns("item", image="image")
    )
    embed(task, tmp_path / "c.parquet")
    catalogue = read_catalogue(tmp_path / "c.parquet")
    for name, file in (("text", "text_minilm.npy"), ("image", "image_effnet.npy")):
        expected = np.load(source / file, mmap_mode="r")[picked].astype(np.float32)
        found = catalogue.embeddings[name]
        cosines = (found * expected).sum(axis=1)
        cosines /= np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        assert cosines.min() > 0.9999

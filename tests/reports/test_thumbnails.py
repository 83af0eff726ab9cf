from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from mmq.reports._thumbnails import SIZE, thumbnails


def test_small_jpegs_of_what_can_be_read(tmp_path: Path) -> None:
    Image.new("RGB", (900, 300), "red").save(tmp_path / "wide.png")
    Image.new("RGBA", (30, 40), (0, 0, 255, 0)).save(tmp_path / "clear.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    names = ["wide.png", "gone.png", "broken.jpg", "clear.png"]
    found = thumbnails({key: str(tmp_path / name) for key, name in enumerate(names)})
    assert sorted(found) == [0, 3]
    assert found[0].shape == 3
    kind, _, data = found[0].uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.format == "JPEG"
        assert picture.width == SIZE[0]
        assert picture.height <= SIZE[1]


def test_none() -> None:
    assert thumbnails({}) == {}

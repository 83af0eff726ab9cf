from __future__ import annotations

import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from mmq.encoders import _pictures as pictures
from mmq.encoders._pictures import MAX_SIDE, BadImageError, read_picture, read_pictures

RED, WHITE = (255, 0, 0), (255, 255, 255)


def _colour(path):
    image = read_picture(path)
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.new("RGB", (8, 8), RED).convert(mode).save(path)
    assert np.abs(np.subtract(_colour(path), RED)).max() <= 2


@pytest.mark.parametrize(("mode", "value"), [("L", 100), ("1", 255), ("I;16", 100 * 256)])
def test_grey_becomes_rgb_without_losing_its_range(tmp_path, mode, value):
    if mode == "I;16":
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / "a.png")
    else:
        Image.new(mode, (8, 8), value).save(tmp_path / "a.png")
    grey = 100 if mode != "1" else 255
    assert _colour(tmp_path / "a.png") == (grey, grey, grey)


def test_transparent_pixels_are_white(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "rgba.png")
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "la.png")
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "p.png", transparency=1)
    for name in ("rgba.png", "la.png", "p.png"):
        assert _colour(tmp_path / name) == WHITE


def test_orientation_is_honoured(tmp_path):
    image = Image.new("RGB", (40, 20), WHITE)
    image.paste(RED, (0, 0, 20, 20))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise
    image.save(tmp_path / "a.png", exif=exif)
    upright = read_picture(tmp_path / "a.png")
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == RED
    assert upright.getpixel((10, 35)) == WHITE


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_large_image_is_shrunk_in_proportion(tmp_path, suffix):
    Image.new("RGB", (4000, 1000), RED).save(tmp_path / f"a.{suffix}")
    image = read_picture(tmp_path / f"a.{suffix}")
    assert image.size == (MAX_SIDE, MAX_SIDE // 4)
    assert np.abs(np.subtract(image.getpixel((5, 5)), RED)).max() <= 2


def test_a_small_image_is_not_touched(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "a.png")), pixels)


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(b"\0" * 100))


@pytest.mark.parametrize("side", [8001, 10_000, 50_000])  # Pillow warns from 9460, raises at 13378
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(_png_header(side, side))
    (outcome,) = read_pictures([str(tmp_path / "bomb.png")], ahead=1)
    assert isinstance(outcome, BadImageError)
    assert str(outcome) == f"the image {tmp_path / 'bomb.png'} has more than 64 megapixels"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadImageError, match=f"{path} cannot be read"):
        read_picture(path)


def test_what_is_no_image_file_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "b.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for name in ("a.jpg", "empty.jpg", "b.eps"):
        with pytest.raises(BadImageError, match=f"{name} cannot be read .it is not an image"):
            read_picture(tmp_path / name)
    with pytest.raises(BadImageError, match="there is no image"):
        read_picture(tmp_path / "absent.jpg")
    with pytest.raises(BadImageError, match="is not a regular file"):
        read_picture(tmp_path)


def test_pictures_come_in_order_with_their_gaps_and_errors(tmp_path):
    paths: list[str | None] = []
    for grey in range(40):
        Image.new("L", (4, 4), grey).save(tmp_path / f"{grey}.png")
        paths.append(str(tmp_path / f"{grey}.png"))
    paths[7], paths[20] = None, str(tmp_path / "absent.png")
    outcomes = list(read_pictures(paths, ahead=5))
    assert outcomes[7] is None
    assert isinstance(outcomes[20], BadImageError)
    greys = [o.getpixel((0, 0))[0] for o in outcomes if isinstance(o, Image.Image)]
    assert greys == [grey for grey in range(40) if grey not in (7, 20)]


def test_no_more_than_the_bound_is_decoded_ahead(monkeypatch):
    started, lock = [0], threading.Lock()

    def count(path):
        with lock:
            started[0] += 1

    monkeypatch.setattr(pictures, "_outcome", count)
    outcomes = read_pictures(["x"] * 100, ahead=5)
    for taken in range(1, 50):
        next(outcomes)
        assert started[0] <= taken + 5
    outcomes.close()
    assert threading.active_count() < 10

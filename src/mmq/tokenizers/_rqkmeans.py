"""RQ-KMeans: residual quantisation, k-means on what the levels before have left over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmq.nn.codebook import best
from mmq.tokenizers._fitting import Advance, KMeansQuantiser, KMeansSettings
from mmq.tokenizers._fused_tokenizer import KMeansTokenizer
from mmq.tokenizers._kmeans import Start, kmeans, nearest, shrunk, starting_means
from mmq.tokenizers._search_space import Choice, LogUniform, Space
from mmq.training._loop import Log


class RQKMeansSettings(KMeansSettings):
    """Settings of :class:`RQKMeansTokenizer`."""

    start: Start = "spherical"
    """Where k-means starts: "spherical" (a few iterations by direction alone), "k-means++" or
    "sample". Residuals of many dimensions are all but orthogonal, so that the shortest mean is the
    nearest to most of them and ends with most members, unless the start is by direction."""
    balanced: bool = True
    """Keep the clusters of a level at about the same size for most of its iterations. On ML-1M it
    lowers the error too, of fitted and of new films: fewer codewords end in poor places."""


class RQKMeans(KMeansQuantiser):
    """A sum of codewords, one a level.

    Args:
        width: d.
        levels: l.
        settings: of the tokenizer.
    """

    codebooks: Tensor

    def __init__(self, width: int, levels: int, settings: RQKMeansSettings) -> None:
        super().__init__()
        self.settings = settings
        self.codebook_sizes = (settings.codebook_size,) * levels
        self.register_buffer("codebooks", torch.zeros(levels, settings.codebook_size, width))

    @property
    def steps(self) -> int:
        """Iterations of all levels."""
        return self.settings.iterations * len(self.codebooks)

    @torch.no_grad()
    def fit(self, x: Tensor, generator: np.random.Generator, advance: Advance) -> Log:
        """Set the codebooks, level by level; a log line a level."""
        log: Log = []
        for level in range(len(self.codebook_sizes)):
            self.codebooks[level], iterations = self._fit_level(x, generator)
            labels = nearest(x, self.codebooks[level])
            for rows, own in zip(x.split(8192), labels.split(8192), strict=True):
                rows -= self.codebooks[level][own]
            distortion = float(x.double().square().sum(1).mean())
            advance(self.settings.iterations, note=f"level {level + 1}: {distortion:.4f}")
            log.append({"level": level + 1, "iterations": iterations, "distortion": distortion})
        return log

    def _fit_level(self, x: Tensor, generator: np.random.Generator) -> tuple[Tensor, int]:
        settings = self.settings
        mean = x.mean(0)
        x -= mean  # similarities lose fewest digits about the mean; it is where codewords shrink to
        first = starting_means(x, settings.codebook_size, generator, settings.start)
        found = kmeans(x, first, settings.iterations, balanced=settings.balanced)
        x += mean
        codewords = shrunk(found, torch.zeros_like(mean), settings.shrinkage) + mean
        return codewords, len(found.distortions)

    def encode(self, x: Tensor) -> Tensor:
        """Codes ``(b, l)`` int64."""
        return best(self.logits(x))

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors ``(b, d)`` of int64 codes ``(b, l)``."""
        levels = torch.arange(len(self.codebooks), device=codes.device)
        return self.codebooks[levels, codes].sum(1)

    def logits(self, x: Tensor) -> Tensor:
        """Similarity ``(b, l, k)`` of what the levels before leave over to the codewords."""
        residual = x.clone()
        logits = x.new_empty(len(x), *self.codebooks.shape[:2])
        offsets = -0.5 * self.codebooks.square().sum(2)
        for level, codebook in enumerate(self.codebooks):
            torch.addmm(offsets[level], residual, codebook.T, out=logits[:, level])
            residual -= codebook[best(logits[:, level])]
        return logits

    def addends(self) -> tuple[Tensor, Tensor]:
        """No offset, and the codebooks."""
        return torch.zeros_like(self.codebooks[0, 0]), self.codebooks


class RQKMeansTokenizer(KMeansTokenizer[RQKMeansSettings, RQKMeans]):
    """Residual k-means over the modalities side by side, or over each on its own.

    >>> import numpy as np
    >>> from mmq import Catalogue
    >>> from mmq.tokenizers._rqkmeans import RQKMeansTokenizer
    >>> rng = np.random.default_rng(0)
    >>> shop = Catalogue.build(range(200), {"text": rng.normal(size=(200, 16)),
    ...                                     "image": rng.normal(size=(200, 12))})
    >>> tokenizer = RQKMeansTokenizer(codebook_size=16, fusion="separated")
    >>> result = tokenizer.fit(shop)
    >>> tokenizer.encode(shop).shape
    (200, 6)

    Settings are :class:`RQKMeansSettings`; arguments are those of :class:`NetworkTokenizer`.
    """

    kind, label = "rqkmeans", "RQ-KMeans"
    settings_class = RQKMeansSettings
    by_levels = True

    @classmethod
    def search_space(cls, fixed: Mapping[str, Any]) -> Space:
        """See :meth:`Tokenizer.search_space`."""
        return {
            "start": Choice(("spherical", "k-means++")),
            "iterations": Choice((10, 25, 50, 100)),
            "shrinkage": LogUniform(0.5, 30.0),
            "refinement": Choice((0, 3)),
            "balanced": Choice((False, True)),
        }

    def _quantiser(self, width: int, length: int) -> RQKMeans:
        return RQKMeans(width, length, self.settings)

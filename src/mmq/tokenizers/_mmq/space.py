"""What ``mmq tune`` searches for MMQ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmq.settings import Settings
from mmq.tokenizers._mmq.settings import DEFAULT_EXPERTS
from mmq.tokenizers._search_space import Choice, Factor, LogUniform, Size, Source, Space, Uniform


@dataclass(frozen=True)
class Split(Source):
    """So many experts a modality; the shared ones are what is left of the default length."""

    specific: tuple[int, ...]

    def draw(self, generator: np.random.Generator) -> int:
        """One of the numbers."""
        return self.specific[int(generator.integers(len(self.specific)))]

    def names(self, name: str) -> set[str]:
        """Both numbers of experts."""
        return {"shared_experts", "specific_experts"}

    def settings(self, name: str, value: Any, defaults: Settings, size: Size) -> dict[str, Any]:
        """The experts of an ID as long as the default one."""
        shared = DEFAULT_EXPERTS * (1 + size.modalities) - value * size.modalities
        return {"shared_experts": shared, "specific_experts": value}


BY_LEAST_SQUARES: Space = {
    "specific_experts": Split((0, 1, 2, 3)),
    "smoothing": Uniform(0.0, 1.2),
    "refinement": Choice((1, 3, 6)),
}

BY_GRADIENT: Space = {
    "learning_rate": LogUniform(3e-3, 8e-3),
    "input_noise": Factor(0.0, 2.0, "resolved_noise"),
    "temperature": Choice((0.05, 0.07, 0.1, 0.15)),
    "latent_dim": Choice((128, 256)),
    "commitment_weight": Choice((0.5, 1.0, 2.5)),
    "refinement": Choice((0, 3)),
}
"""With ``learning="gradient"``, where the user asks for that."""

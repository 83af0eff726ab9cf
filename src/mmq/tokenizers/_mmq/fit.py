"""Stage 1 by gradient: Eq. 14 with the codebooks' own gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mmq.errors import SettingsError
from mmq.tokenizers._mmq.network import MMQNetwork
from mmq.tokenizers._mmq.objective import loss_terms, weighted_losses
from mmq.tokenizers._mmq.start import start_codebooks, start_decoders
from mmq.tokenizers._task import CodingTask
from mmq.training._codebooks import CodebookState, Members
from mmq.training._distributed import place


class MMQTask(CodingTask[MMQNetwork]):
    """What experts, gates, codebooks and decoders learn; all positions are one group of codebooks.

    Args:
        network: what learns, in place.
        x: ``(items, sum of dimensions)`` inputs, zero where missing; moved to the network's device.
        present: ``(items, m)`` presence.

    Raises:
        SettingsError: several processes, and too small a batch or a loss that needs all of it.
    """

    def __init__(self, network: MMQNetwork, x: Tensor, present: Tensor) -> None:
        super().__init__(network, network.settings, x, present)
        self.revives = network.settings.revival
        if network.settings.orthogonality == "output" and place()[1] > 1:
            raise SettingsError(
                "orthogonality = 'output' correlates the items of a whole batch, which processes "
                "share; start mmq fit without torchrun, or take orthogonality = 'weights'"
            )

    def codebook_states(self) -> list[CodebookState]:
        """Of all positions."""
        return [CodebookState(self.network.codebooks)]

    def begin(self, generator: np.random.Generator) -> None:
        """Start codebooks and decoders."""
        if self.settings.start != "random":
            start_codebooks(self.network, self.x, self.present, generator)
        start_decoders(self.network, self.x, self.present, generator)
        self.codebooks[0].begin()

    def losses(self, x: Tensor, target: Tensor, present: Tensor) -> dict[str, Tensor]:
        """As :meth:`CodingTask.losses`: the terms of Eq. 14 and the quantiser's."""
        output = self.network(x, present, self.settings.temperature)
        mask = self.network.mask(present).T
        self.members = {0: Members(output.latents.transpose(0, 1), output.codes.T, mask)}
        terms = loss_terms(self.network, output, target, present)
        return weighted_losses(self.settings, terms)

    def points(self, x: Tensor, present: Tensor) -> Iterator[tuple[int, list[Tensor]]]:
        """As :meth:`CodingTask.points`: outputs of experts that have an input."""
        latents, _ = self.network.latents(x, present)
        mask = self.network.code_mask(present)
        yield 0, [latents[mask[:, n], n] for n in range(self.network.length)]

    @torch.no_grad()
    def finish(self) -> None:
        """The mean gates, all that a reader of the ID alone can use."""
        self.network.set_mean_weights(self.x, self.present)

"""The MMQ tokenizer as an estimator: fit, encode, decode, soft codes, save, load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from mmq import __version__
from mmq.data import Catalogue, CatalogueFile
from mmq.data.catalogue import require_modalities
from mmq.errors import DataError
from mmq.nn.codebook import hard_index, similarity
from mmq.nn.device import pick_device
from mmq.progress import bar
from mmq.tokenizers import folder as save_format
from mmq.tokenizers.base import FitResult
from mmq.tokenizers.inputs import unit_inputs
from mmq.tokenizers.mmq.evaluation import evaluate
from mmq.tokenizers.mmq.fit import Stage1, run, set_mean_weights
from mmq.tokenizers.mmq.network import MMQNetwork
from mmq.tokenizers.mmq.search import CodeSearch
from mmq.tokenizers.mmq.settings import MMQSettings

BLOCK = 2048  # items encoded at a time


class MMQTokenizer:
    """Multimodal mixture of quantisers: shared and specific experts, a cosine codebook each.

    >>> import numpy as np
    >>> from mmq import Catalogue, MMQTokenizer
    >>> rng = np.random.default_rng(0)
    >>> shop = Catalogue.build(range(200), {"text": rng.normal(size=(200, 16)),
    ...                                     "image": rng.normal(size=(200, 12))})
    >>> tokenizer = MMQTokenizer(codebook_size=16, latent_dim=16, epochs=2)
    >>> result = tokenizer.fit(shop)
    >>> tokenizer.encode(shop).shape
    (200, 6)

    Args:
        settings: an :class:`MMQSettings`, or its fields as keyword arguments.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        SettingsError: an unknown setting or device, or a value out of range.
    """

    kind = "mmq"
    ordered = False

    def __init__(
        self, settings: MMQSettings | None = None, *, device: str = "auto", **fields: Any
    ) -> None:
        self.settings = settings or MMQSettings.parse(fields)
        self.device = pick_device(device)
        self._network: MMQNetwork | None = None
        self.figures: dict[str, Any] = {}
        self.reductions: dict[str, str] = {}
        """Modality -> digest of the PCA its embeddings went through, checked by ``mmq encode``."""
        self.log: list[dict[str, float]] = []
        """Weighted losses and revived codes of every epoch of the fit."""

    @property
    def network(self) -> MMQNetwork:
        """The trained network."""
        if self._network is None:
            raise DataError("the tokenizer is not fitted yet; call fit or load one")
        return self._network

    @property
    def dimensions(self) -> dict[str, int]:
        """Modality -> width of its embedding."""
        return self.network.dimensions

    @property
    def length(self) -> int:
        """Positions of a semantic ID."""
        return self.network.length

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codewords a position."""
        return (self.settings.codebook_size,) * self.length

    @property
    def positions(self) -> dict[str, list[int]]:
        """Group of experts ("shared" or a modality) -> its positions in the ID."""
        indices = range(self.length)
        return {name: list(indices[place]) for name, place in self.network.positions.items()}

    def fit(
        self,
        catalogue: Catalogue,
        hold_out: float = 0.0,
        checkpoint: Path | None = None,
        resume: bool = False,
        fingerprint: str = "",
    ) -> FitResult:
        """Train on the catalogue and give back the figures of the fit.

        Args:
            catalogue: the items.
            hold_out: share of the items kept out of the training and reported as "held_out".
            checkpoint: file that a killed training can go on from; to be removed by the caller
                once the tokenizer is saved.
            resume: go on from that file if it exists. The result is the same to the bit.
            fingerprint: of the data, so that a checkpoint of other data is refused.

        Raises:
            DataError: fewer items than codes, a modality that no item has, a bad hold-out, or a
                training that diverged.
            FormatError: the checkpoint is damaged or of other data or settings.
        """
        settings = self.settings
        x, present = unit_inputs(catalogue, catalogue.dimensions)
        parts = split(len(catalogue), hold_out, settings.seed)
        _check(catalogue, settings, present[parts["fit"]])
        with torch.random.fork_rng(devices=[]):  # the caller's own randomness stays as it is
            torch.manual_seed(settings.seed)
            network = MMQNetwork(catalogue.dimensions, settings).to(self.device)
        everything = len(parts["fit"]) == len(x)  # then no second copy of the inputs
        rows = slice(None) if everything else parts["fit"]
        training = Stage1(network, x[rows], present[rows])
        mark = f"{fingerprint} {hold_out} {catalogue.dimensions} {settings.model_dump_json()}"
        if resume and checkpoint is not None and checkpoint.exists():
            training.restore(checkpoint, mark)
        else:
            training.begin()
        items, done = len(training.x), training.epoch
        with bar("fit", items * training.epochs, done=items * done) as advance:
            seconds = run(training, advance, checkpoint, mark)
        set_mean_weights(network, training.x, training.present)
        self._network, self.log = network.eval().requires_grad_(False), training.log
        codes = self.encode(catalogue)
        result = FitResult(
            **evaluate(network, x, present, parts, codes),
            epochs=training.epochs,
            seconds=seconds,
            items_per_second=items * (training.epochs - done) / max(seconds, 1e-9),
        )
        self.figures = result.figures()
        return result

    def require_inputs(self, file: CatalogueFile) -> None:
        """Raise :class:`~mmq.errors.DataError` unless a catalogue file can be encoded.

        It must have the modalities and widths of the fit, made by the same reductions.
        """
        require_modalities(file.dimensions, self.dimensions, str(file.path))
        found = {name: pca.fingerprint() for name, pca in file.reductions.items()}
        for modality in self.dimensions:
            if found.get(modality) != self.reductions.get(modality):
                raise DataError(
                    f"the {modality} embedding of {file.path} did not go through the same PCA as "
                    "the one the tokenizer was fitted on; import it again with --reduce-like and "
                    "the catalogue of the fit (or without --reduce if that had none)"
                )

    @torch.inference_mode()
    def encode(self, catalogue: Catalogue) -> np.ndarray:
        """Codes ``(items, length)`` int32: the nearest codeword of every expert (Eq. 7).

        Raises:
            DataError: a modality is absent, unknown or of another width.
        """
        codes = np.empty((len(catalogue), self.length), np.int32)
        search = CodeSearch(self.network)
        for start in range(0, len(catalogue), BLOCK):
            rows = slice(start, start + BLOCK)
            codes[rows] = search(*self._inputs(catalogue, rows)).cpu().numpy()
        return codes

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Modality -> embedding ``(items, dimension)`` that the codes alone stand for.

        Gates are the catalogue's mean, since an ID does not carry them.

        Raises:
            DataError: codes of another length or out of range.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.length:
            raise DataError(f"codes have shape {codes.shape}; expected (items, {self.length})")
        if codes.size and not (codes.min() >= 0 and codes.max() < self.settings.codebook_size):
            raise DataError(f"codes should lie in 0 .. {self.settings.codebook_size - 1}")
        blocks = torch.from_numpy(codes.astype(np.int64)).split(BLOCK)
        joint = torch.cat([self.network.decode_codes(b.to(self.device)).cpu() for b in blocks])
        parts = joint.split(list(self.dimensions.values()), dim=1)
        return {m: part.numpy() for m, part in zip(self.dimensions, parts, strict=True)}

    def soft_codes(self, catalogue: Catalogue, temperature: float | None = None) -> Tensor:
        """``ind`` of Eq. 18, ``(items, length, k)``: one-hot forward, a softmax backward.

        A fitted network is frozen; ``tokenizer.network.requires_grad_(True)`` lets gradients in.
        """
        logits = self._logits(*self._inputs(catalogue))
        return hard_index(logits, temperature or self.settings.temperature)

    @torch.inference_mode()
    def similarities(self, catalogue: Catalogue) -> np.ndarray:
        """``(items, length, k)`` similarity of every item to every codeword; larger is nearer."""
        return self._logits(*self._inputs(catalogue)).transpose(0, 1).cpu().numpy()

    def save(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors, README.md and, after a fit, training.jsonl.

        Raises:
            DataError: the folder exists with other content, or the disk is full.
        """
        config = {
            "tokenizer": self.kind,
            "mmq": __version__,
            "modalities": self.dimensions,
            "codebook_sizes": list(self.codebook_sizes),
            "ordered": self.ordered,
            "positions": self.positions,
            "reductions": self.reductions,
            "settings": self.settings.to_dict(),
            "figures": self.figures,
        }
        state = self.network.state_dict()
        tensors = {name: tensor.cpu().numpy() for name, tensor in state.items()}
        save_format.save_folder(folder, config, tensors, self.log)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Self:
        """The tokenizer of a folder, on a device as in the constructor.

        Raises:
            DataError: no such folder.
            FormatError: damaged, newer, of another kind, or tensors that do not fit its config.
            SettingsError: its config has a setting that this version does not know.
        """
        saved = save_format.load_folder(folder, cls.kind)
        self = cls(MMQSettings.parse(saved.config["settings"]), device=device)
        network = MMQNetwork(saved.config["modalities"], self.settings)
        expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
        save_format.check_tensors(saved.tensors, expected, folder)
        network.load_state_dict({k: torch.from_numpy(v) for k, v in saved.tensors.items()})
        self._network = network.eval().requires_grad_(False).to(self.device)
        self.figures = saved.config.get("figures", {})
        self.reductions = saved.config.get("reductions", {})
        return self

    save_pretrained = save
    from_pretrained = load

    def _inputs(self, catalogue: Catalogue, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        x, present = unit_inputs(catalogue, self.dimensions, rows)
        return x.to(self.device), present.to(self.device)

    def _logits(self, x: Tensor, present: Tensor) -> Tensor:
        z, _ = self.network.latents(x, present)
        return similarity(z, self.network.codebooks, self.settings.distance)


def split(items: int, hold_out: float, seed: int) -> dict[str, Tensor]:
    """Rows of the parts "fit" and, if asked for, "held_out"; depends on the seed alone.

    Raises:
        DataError: the share is not in [0, 1).
    """
    if not 0 <= hold_out < 1:
        raise DataError(f"--hold-out {hold_out} should be a share between 0 and 1, such as 0.1")
    order = torch.randperm(items, generator=torch.Generator().manual_seed(seed))
    held = int(items * hold_out)
    parts = {"fit": order[held:].sort().values}
    if held:
        parts["held_out"] = order[:held].sort().values
    return parts


def _check(catalogue: Catalogue, settings: MMQSettings, present: Tensor) -> None:
    """Refuse what cannot give good IDs, before any work."""
    if len(present) < settings.codebook_size:
        raise DataError(
            f"{len(present)} items to fit on are fewer than the {settings.codebook_size} codes of "
            "a codebook; lower it with --set codebook_size=..., or add items"
        )
    for modality, count in zip(catalogue.modalities, present.sum(0).tolist(), strict=True):
        if count == 0:
            raise DataError(f"no item has a {modality} embedding; leave that modality out")
    names = settings.specific_experts
    known: Mapping[str, Any] = names if isinstance(names, dict) else {}
    for name in known:
        if name not in catalogue.modalities:
            raise DataError(
                f"specific_experts names the modality '{name}', the catalogue has "
                f"{', '.join(catalogue.modalities)}"
            )
    if "shared" in catalogue.modalities:
        raise DataError("a modality may not be called 'shared'; rename the column")

"""What all tokenizers do alike, around a network of their own: the Tokenizer contract in numpy."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from mmq import __version__
from mmq.data import Catalogue, CatalogueFile, Reduction
from mmq.data.catalogue import require_modalities
from mmq.errors import DataError
from mmq.nn.device import pick_device
from mmq.nn.loop import Journal, Log, Trained
from mmq.nn.weights import load_arrays, to_arrays
from mmq.semantic_ids import Lacking, SemanticIDs, build_manifest
from mmq.tokenizers import folder as save_format
from mmq.tokenizers.base import Figures, FitResult, TokenizerSettings
from mmq.tokenizers.evaluation import evaluate, reconstruction
from mmq.tokenizers.inputs import unit_inputs
from mmq.tokenizers.network import CodingNetwork
from mmq.tokenizers.reference import reference

BLOCK = 2048  # items encoded at a time

S = TypeVar("S", bound=TokenizerSettings)
N = TypeVar("N", bound=CodingNetwork)


class NetworkTokenizer(ABC, Generic[S, N]):
    """A tokenizer whose learned state is one network.

    A kind of tokenizer gives ``kind``, ``settings_class``, how its network is made (:meth:`_make`)
    and how it learns (:meth:`_train`).

    Args:
        settings: of the kind, or their fields as keyword arguments.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        SettingsError: an unknown setting or device, or a value out of range.
    """

    kind: ClassVar[str]
    settings_class: ClassVar[type[TokenizerSettings]]

    def __init__(self, settings: S | None = None, *, device: str = "auto", **fields: Any) -> None:
        self.settings: S = settings or self.settings_class.parse(fields)  # type: ignore[assignment]
        self.device = pick_device(device)
        self._network: N | None = None
        self.figures: dict[str, Any] = {}
        self.reductions: dict[str, str] = {}
        """Modality -> digest of the PCA its embeddings went through, checked by ``mmq encode``."""
        self.tuned_from: list[str] = []
        """Fingerprints of the tokenizers that it was fine-tuned from, the latest last."""
        self.log: Log = []
        """Figures of every epoch or iteration of the fit."""

    @abstractmethod
    def _make(self, dimensions: dict[str, int]) -> N:
        """A network that has not learned yet."""

    @abstractmethod
    def _train(self, network: N, x: Tensor, present: Tensor, journal: Journal) -> Trained:
        """Let the network learn from ``x`` ``(items, sum of dimensions)``, in place."""

    @property
    @abstractmethod
    def ordered(self) -> bool:
        """Whether every code refines the codes before it."""

    @property
    def network(self) -> N:
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
        return self.network.codebook_sizes

    @property
    def positions(self) -> dict[str, list[int]]:
        """Name of a group ("shared" or a modality) -> its positions in the ID."""
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
        """Learn from the catalogue and give back the figures of the fit.

        Args:
            catalogue: the items.
            hold_out: share of the items kept out of the training and reported as "held_out".
            checkpoint: file that a killed training can go on from; to be removed by the caller
                once the tokenizer is saved.
            resume: go on from that file if it exists. The result is the same to the bit.
            fingerprint: of the data, so that a checkpoint of other data is refused; "" takes that
                of the embeddings.

        Raises:
            DataError: fewer items than codes, a modality that no item has, a bad hold-out, or a
                training that diverged.
            FormatError: the checkpoint is damaged or of other data or settings.
        """
        x, present = unit_inputs(catalogue, catalogue.dimensions)
        parts = split(len(catalogue), hold_out, self.settings.seed)
        self._check(catalogue, present[parts["fit"]])
        with torch.random.fork_rng(devices=[]):  # the caller's own randomness stays as it is
            torch.manual_seed(self.settings.seed)
            network = self._make(catalogue.dimensions).to(self.device)
        everything = len(parts["fit"]) == len(x)  # then no second copy of the inputs
        rows = slice(None) if everything else parts["fit"]
        if checkpoint is not None and not fingerprint:
            fingerprint = catalogue.fingerprint()
        settings = self.settings.model_dump_json()
        mark = f"{fingerprint} {hold_out} {catalogue.dimensions} {settings}"
        trained = self._train(network, x[rows], present[rows], Journal(checkpoint, resume, mark))
        self._network, self.log = network.eval().requires_grad_(False), trained.log
        self.reductions, self.tuned_from = _digests(catalogue.reductions), []
        result = FitResult(
            **evaluate(network, x, present, parts, self.encode(catalogue)),
            epochs=trained.epochs,
            seconds=trained.seconds,
            items_per_second=trained.items_per_second,
        )
        self.figures = result.figures()
        return result

    def require_inputs(self, file: CatalogueFile) -> None:
        """Raise :class:`~mmq.errors.DataError` unless a catalogue file can be encoded.

        It must have the modalities and widths of the fit, made by the same reductions.
        """
        require_modalities(file.dimensions, self.dimensions, str(file.path))
        found = _digests(file.reductions)
        for modality in self.dimensions:
            if found.get(modality) != self.reductions.get(modality):
                raise DataError(
                    f"the {modality} embedding of {file.path} did not go through the same PCA as "
                    "the one the tokenizer was fitted on; import it again with --reduce-like and "
                    "the catalogue of the fit (or without --reduce if that had none)"
                )

    @torch.inference_mode()
    def encode(self, catalogue: Catalogue) -> np.ndarray:
        """Codes ``(items, length)`` int32.

        Raises:
            DataError: a modality is absent, unknown or of another width.
        """
        codes = np.empty((len(catalogue), self.length), np.int32)
        search = self.network.search()
        for start in range(0, len(catalogue), BLOCK):
            rows = slice(start, start + BLOCK)
            codes[rows] = search(*self._inputs(catalogue, rows)).cpu().numpy()
        return codes

    def ids(self, catalogue: Catalogue) -> SemanticIDs:
        """The table of semantic IDs of a catalogue, which knows the tokenizer that made it.

        Items that share an ID are told apart by their rank.

        Raises:
            DataError: a modality is absent, unknown or of another width.
        """
        codes, sizes = self.encode(catalogue), self.codebook_sizes
        absent = {name: ~catalogue.present[name] for name in self.dimensions}
        manifest = build_manifest(
            sizes,
            tokenizer=reference(self, self.fingerprint()),
            ordered=self.ordered,
            lacking=Lacking.of(codes, absent, self.positions).to_manifest(),
        )
        return SemanticIDs.build(catalogue.item_ids, codes, sizes, manifest)

    def fingerprint(self) -> str:
        """Content hash: that of the folder which :meth:`save` writes."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "tokenizer")
            return save_format.fingerprint(Path(folder) / "tokenizer")

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Modality -> embedding ``(items, dimension)`` that the codes alone stand for.

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

    @torch.inference_mode()
    def similarities(self, catalogue: Catalogue) -> np.ndarray:
        """``(items, length, k)`` similarity of every item to every codeword; larger is nearer."""
        return self.network.logits(*self._inputs(catalogue)).cpu().numpy()

    def measure(self, catalogue: Catalogue) -> Figures:
        """How well the codes stand for the embeddings of these items.

        Raises:
            DataError: a modality is absent, unknown or of another width.
        """
        x, present = unit_inputs(catalogue, self.dimensions)
        return reconstruction(self.network, x, present)

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
            **({"tuned_from": self.tuned_from} if self.tuned_from else {}),
        }
        save_format.save_folder(folder, config, to_arrays(self.network), self.log)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Self:
        """The tokenizer of a folder, on a device as in the constructor.

        Raises:
            DataError: no such folder.
            FormatError: damaged, newer, of another kind, or tensors that do not fit its config.
            SettingsError: its config has a setting that this version does not know.
        """
        saved = save_format.load_folder(folder, cls.kind)
        settings: Any = cls.settings_class.parse(saved.config["settings"])
        self = cls(settings, device=device)
        network = self._make(saved.config["modalities"])
        load_arrays(network, saved.tensors, folder)
        self._network = network.eval().requires_grad_(False).to(self.device)
        self.figures = saved.config.get("figures", {})
        self.reductions = saved.config.get("reductions", {})
        self.tuned_from = list(saved.config.get("tuned_from", []))
        return self

    save_pretrained = save
    from_pretrained = load

    def _inputs(self, catalogue: Catalogue, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        x, present = unit_inputs(catalogue, self.dimensions, rows)
        return x.to(self.device), present.to(self.device)

    def _check(self, catalogue: Catalogue, present: Tensor) -> None:
        """Refuse what cannot give good IDs, before any work."""
        size = self.settings.codebook_size
        if len(present) < size:
            raise DataError(
                f"{len(present)} items to fit on are fewer than the {size} codes of a codebook; "
                "lower it with --set codebook_size=..., or add items"
            )
        for modality, count in zip(catalogue.modalities, present.sum(0).tolist(), strict=True):
            if count == 0:
                raise DataError(f"no item has a {modality} embedding; leave that modality out")


def _digests(reductions: Mapping[str, Reduction]) -> dict[str, str]:
    return {name: pca.fingerprint() for name, pca in reductions.items()}


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

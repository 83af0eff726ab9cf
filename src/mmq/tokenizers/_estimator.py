"""What all tokenizers do alike, around a network of their own: the Tokenizer contract in numpy."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmq.data import Catalogue, CatalogueFile, Reduction
from mmq.data._catalogue import require_modalities
from mmq.errors import DataError
from mmq.made_from import Checkpoint
from mmq.semantic_ids import Lacking, SemanticIDs, build_manifest
from mmq.tokenizers._additive.choice import parts as inner_parts
from mmq.tokenizers._additive.fit import Shape, chosen, fit_additive
from mmq.tokenizers._additive.network import AdditiveNetwork
from mmq.tokenizers._base import Figures, FitResult, Tokenizer, TokenizerSettings
from mmq.tokenizers._evaluation import evaluate, reconstruction
from mmq.tokenizers._frame import Frame
from mmq.tokenizers._inputs import Inputs, unit_inputs
from mmq.tokenizers._network import CodingNetwork
from mmq.tokenizers._reference import reference
from mmq.tokenizers._threads import in_threads
from mmq.training._loop import Trained
from mmq.training._weights import load_arrays, to_arrays

BLOCK = 2048  # items encoded at a time
_FRAME = "frame."  # before the names of its tensors
_LAST = ("settings", "figures", "tuned_from")

S = TypeVar("S", bound=TokenizerSettings)
N = TypeVar("N", bound=CodingNetwork)


class NetworkTokenizer(Tokenizer[S], Generic[S, N]):
    """A tokenizer whose learned state is a frame for its inputs and one network.

    A kind of tokenizer gives ``kind``, ``settings_class``, how its network is made (:meth:`_make`)
    and how it learns (:meth:`_train`). The network sees embeddings in the coordinates of the frame
    (:mod:`mmq.tokenizers._frame`). Where codes are refined, tables and codes are then fitted in
    turn, and an :class:`AdditiveNetwork` takes the place of the one that was trained.

    Args:
        settings: of the kind, or their fields as keyword arguments.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        SettingsError: an unknown setting or device, or a value out of range.
    """

    def __init__(self, settings: S | None = None, *, device: str = "auto", **values: Any) -> None:
        super().__init__(settings, device=device, **values)
        self._network: N | AdditiveNetwork | None = None
        self._frame: Frame | None = None

    by_levels: ClassVar[bool] = False
    """Whether every position of a group codes what the positions before it left over."""

    @abstractmethod
    def _make(self, dimensions: dict[str, int]) -> N:
        """A network that has not learned yet."""

    @abstractmethod
    def _train(
        self, network: N, x: Tensor, present: Tensor, checkpoint: Checkpoint | None
    ) -> Trained:
        """Let the network learn from ``x`` ``(items, sum of dimensions)``, in place."""

    @property
    def network(self) -> N | AdditiveNetwork:
        """The trained network."""
        if self._network is None:
            raise self._unfitted()
        return self._network

    @property
    def dimensions(self) -> dict[str, int]:
        """Modality -> width of its embedding."""
        network = self.network  # asked for first: it may not be there yet
        return network.dimensions if self._frame is None else self._frame.dimensions

    @property
    def length(self) -> int:
        """Positions of a semantic ID."""
        return self.network.length

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codewords a position."""
        return self.network.codebook_sizes

    @property
    def ordered(self) -> bool:
        """Whether all codes are levels of one quantiser, none of them refined."""
        alone = self.by_levels and len(self.network.positions) == 1
        return alone and not self.settings.sweeps

    @property
    def positions(self) -> dict[str, list[int]]:
        """Name of a group ("shared" or a modality) -> its positions in the ID."""
        indices = range(self.length)
        return {name: list(indices[place]) for name, place in self.network.positions.items()}

    def fit(
        self,
        catalogue: Catalogue,
        hold_out: float = 0.0,
        checkpoint: Checkpoint | None = None,
    ) -> FitResult:
        """Learn from the catalogue and give back the figures of the fit.

        Args:
            catalogue: the items.
            hold_out: share of the items kept out of the training and reported as "held_out".
            checkpoint: what a killed training can go on from, to a result that is the same to the
                bit. Embeddings and settings are added to what it is made from.

        Raises:
            DataError: fewer items than codes, a modality that no item has, a bad hold-out, or a
                training that diverged.
            FormatError: the checkpoint is damaged or of other data or settings.
        """
        started = time.monotonic()
        x, present = unit_inputs(catalogue, catalogue.dimensions)
        parts = split(len(catalogue), hold_out, self.settings.seed)
        self._check(catalogue, present[parts["fit"]])
        rows = _by_item_id(catalogue, parts["fit"])  # so that their order in the file says nothing
        frame = Frame.fit(catalogue.dimensions, x[rows], present[rows])
        y, left = frame.apply_to(x, present)
        del x
        if checkpoint is not None:
            settings = self.settings.to_dict()
            checkpoint = checkpoint.of(
                catalogue=catalogue.fingerprint(), hold_out=hold_out, settings=settings
            )
        with torch.random.fork_rng(devices=[]):  # the caller's own randomness stays as it is
            torch.manual_seed(self.settings.seed)
            network, trained = self._learn(frame.kept, y[rows], present[rows], checkpoint)
        self._network, self.log = network.eval().requires_grad_(False), trained.log
        self._frame = frame.to(self.device)
        self.reductions, self.tuned_from = _digests(catalogue.reductions), []
        seconds = time.monotonic() - started
        measured = evaluate(network, Inputs(y, present, left, frame.scales.cpu()), parts)
        result = FitResult(
            **measured,
            items={name: len(part) for name, part in parts.items()},
            epochs=trained.epochs,
            seconds=seconds,
            items_per_second=len(rows) / max(seconds, 1e-9),
            chosen=chosen(trained.log),
        )
        self.figures = result.figures()
        return result

    def _learn(
        self, dimensions: dict[str, int], x: Tensor, present: Tensor, checkpoint: Checkpoint | None
    ) -> tuple[N | AdditiveNetwork, Trained]:
        """A network that has learned from ``x`` ``(items, sum of dimensions)``.

        Where codes are refined the network does not see the items that its refinement is chosen
        by, but the tables that take its place do.
        """
        network = self._make(dimensions).to(self.device)
        if not self.settings.sweeps:
            return network, self._train(network, x, present, checkpoint)
        learn = inner_parts(len(x), self.settings.seed)[0]
        trained = self._train(network, x[learn], present[learn], checkpoint)
        shape = self._shape(dimensions, [network.positions])
        with torch.no_grad():
            offset, table = network.addends()
            mask = self._additive(dimensions, network.positions).mask
            table = (table + offset * mask / mask.sum(0).clamp_min(1)) * mask
        x, present = x.to(self.device), present.to(self.device)
        additive, refined = fit_additive(shape, x, present, self.settings.seed, table=table)
        return additive, trained._replace(log=[*refined.log, *trained.log])

    def _shape(
        self, dimensions: Mapping[str, int], positions: Sequence[Mapping[str, slice]]
    ) -> Shape:
        return Shape(dimensions, positions, self.settings.codebook_size, self.settings.sweeps)

    def _additive(
        self, dimensions: Mapping[str, int], positions: Mapping[str, slice]
    ) -> AdditiveNetwork:
        size, sweeps = self.settings.codebook_size, self.settings.sweeps
        return AdditiveNetwork(dimensions, positions, size, sweeps).to(self.device)

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

    def encode(self, catalogue: Catalogue) -> np.ndarray:
        """Codes ``(items, length)`` int32.

        Raises:
            DataError: a modality is absent, unknown or of another width.
        """
        return self.encoder()(catalogue)

    @torch.inference_mode()
    def encoder(self) -> Callable[[Catalogue], np.ndarray]:
        """:meth:`encode` of the tokenizer as it is now, for many catalogues."""
        search = self.network.search()

        def encode(catalogue: Catalogue) -> np.ndarray:
            codes = np.empty((len(catalogue), self.length), np.int32)

            @torch.inference_mode()
            def encode_block(start: int) -> None:
                rows = slice(start, start + BLOCK)
                codes[rows] = search(*self._inputs(catalogue, rows)).cpu().numpy()

            in_threads(encode_block, range(0, len(catalogue), BLOCK), self.device)
            return codes

        return encode

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
        joint = torch.cat([self._decoded(block.to(self.device)).cpu() for block in blocks])
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
        return reconstruction(self.network, self.inputs(catalogue))

    def config(self) -> dict[str, Any]:
        """See :class:`Tokenizer`; ``frame`` holds the widths that the frame keeps."""
        config = super().config()
        # in the order of before: the hash of a tokenizer is one of the text of its config
        last = {name: config.pop(name) for name in _LAST if name in config}
        return {
            **config,
            "frame": None if self._frame is None else self._frame.kept,
            "additive": isinstance(self.network, AdditiveNetwork),
            **last,
        }

    def tensors(self) -> dict[str, np.ndarray]:
        """Parameters and buffers of network and frame."""
        arrays = to_arrays(self.network)
        if self._frame is not None:
            arrays |= {_FRAME + name: array for name, array in to_arrays(self._frame).items()}
        return arrays

    def take_up(
        self, config: Mapping[str, Any], tensors: dict[str, np.ndarray], folder: Path
    ) -> None:
        """See :meth:`mmq.model.Model.take_up`."""
        widths, kept = config["modalities"], config.get("frame")
        if kept:  # format 1 has none: its networks read unit embeddings
            self._frame = Frame(widths, kept).to(self.device)
            own = {n.removeprefix(_FRAME): t for n, t in tensors.items() if n.startswith(_FRAME)}
            load_arrays(self._frame, own, folder)
        network: N | AdditiveNetwork
        if config.get("additive"):
            places = {n: slice(p[0], p[-1] + 1) for n, p in config["positions"].items() if p}
            network = self._additive(kept or widths, places)
        else:
            network = self._make(kept or widths)
        rest = {name: t for name, t in tensors.items() if not name.startswith(_FRAME)}
        load_arrays(network, rest, folder)
        self._network = network.eval().requires_grad_(False).to(self.device)
        self.reductions = config["reductions"]
        self.tuned_from = list(config.get("tuned_from", []))

    def inputs(self, catalogue: Catalogue, rows: slice = slice(None)) -> Inputs:
        """What the network reads of some items, on its device.

        Raises:
            DataError: a modality is absent, unknown or of another width.
        """
        x, present = (
            each.to(self.device) for each in unit_inputs(catalogue, self.dimensions, rows)
        )
        if self._frame is None:
            return Inputs(x, present, torch.zeros_like(present), torch.ones_like(present[0]))
        y, left = self._frame.apply_to(x, present)
        return Inputs(y, present, left, self._frame.scales)

    def _inputs(self, catalogue: Catalogue, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        found = self.inputs(catalogue, rows)
        return found.x, found.present

    def _decoded(self, codes: Tensor) -> Tensor:
        vectors = self.network.decode_codes(codes)
        return vectors if self._frame is None else self._frame.restore(vectors)

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


def _by_item_id(catalogue: Catalogue, rows: Tensor) -> Tensor:
    """Rows in the order of their items' ids."""
    ids = catalogue.item_ids.take(pa.array(rows.numpy()))
    return rows[torch.from_numpy(pc.sort_indices(ids).to_numpy().astype(np.int64))]


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

"""The statistics of an ID table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmq.data._catalogue import Catalogue
from mmq.metrics.quantisation import code_counts, entropy, gini, sharing, utilisation
from mmq.semantic_ids._lacking import Lacking
from mmq.semantic_ids._manifest import FitRef, Policy, is_imported, known_fit
from mmq.semantic_ids._table import SemanticIDs


@dataclass(frozen=True)
class CatalogueFacts:
    """What in the catalogue itself explains collisions.

    Attributes:
        duplicates: items whose embeddings are all equal to another item's.
        missing: modality -> share of items without it.
    """

    duplicates: int = 0
    missing: Mapping[str, float] = field(default_factory=dict)


def catalogue_facts(batches: Iterable[Catalogue]) -> CatalogueFacts:
    """Facts of a catalogue given in pieces, at 8 bytes an item.

    Embeddings are compared by a 64-bit hash of their bits.
    """
    hashes: list[np.ndarray] = []
    absent: dict[str, int] = {}
    for batch in batches:
        hashes.append(_hash(batch))
        for modality, mask in batch.present.items():
            absent[modality] = absent.get(modality, 0) + int((~mask).sum())
    every = np.sort(np.concatenate(hashes))
    same = every[1:] == every[:-1]
    duplicates = int((np.append(same, False) | np.append(False, same)).sum())
    missing = {modality: count / len(every) for modality, count in absent.items()}
    return CatalogueFacts(duplicates, missing)


def _hash(batch: Catalogue) -> np.ndarray:
    result = np.zeros(len(batch), np.uint64)
    for number, matrix in enumerate(batch.embeddings.values()):
        bits = (matrix + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
        bits ^= bits >> 16  # embeddings stored as float16 have empty low bits
        weights = np.random.default_rng(number).integers(0, 2**64, matrix.shape[1], np.uint64)
        result += bits.astype(np.uint64) @ (weights | np.uint64(1))
    return result


@dataclass(frozen=True, eq=False)
class Quality:
    """Statistics of an ID table; entropies in nats. The arrays hold one figure a codebook.

    Items that lack the modality of a codebook are left out of its figures.

    Attributes:
        counts: items that use each code, one array a codebook.
        distinct_share: distinct IDs / items.
        colliding_items: items that share their ID with another.
        largest_bucket: items of the fullest ID.
        collisions: what was done with items that share an ID.
        imported: whether the IDs were made elsewhere, so that mmq cannot move them.
        facts: what is known of the catalogue.
        lacking: what is known of items that lack a modality.
        fit: what the fit of the tokenizer was worth, None where it is not known.
        entropies: ``(length,)`` token entropy; NaN for a codebook whose modality no item has, as
            the next two.
        utilisations: ``(length,)`` share of codes in use.
        ginis: ``(length,)`` Gini coefficient of code usage.
    """

    items: int
    codebook_sizes: tuple[int, ...]
    counts: tuple[np.ndarray, ...] = field(repr=False)
    distinct_share: float
    colliding_items: int
    largest_bucket: int
    collisions: Policy
    imported: bool
    facts: CatalogueFacts
    lacking: Lacking
    fit: FitRef | None
    entropies: np.ndarray
    utilisations: np.ndarray
    ginis: np.ndarray

    @property
    def length(self) -> int:
        """Codes of an ID."""
        return len(self.codebook_sizes)

    @property
    def codebook_size(self) -> int | list[int]:
        """The size that all codebooks have, or the size of each where they differ."""
        sizes = list(self.codebook_sizes)
        return sizes[0] if len(set(sizes)) == 1 else sizes

    @property
    def entropy(self) -> float:
        """Token entropy in nats, averaged over codebooks."""
        return float(np.nanmean(self.entropies))

    @property
    def perplexities(self) -> np.ndarray:
        """``exp`` of each codebook's entropy, ``(length,)``."""
        effective: np.ndarray = np.exp(self.entropies)
        return effective

    @property
    def utilisation(self) -> float:
        """Share of codes in use, averaged over codebooks."""
        return float(np.nanmean(self.utilisations))

    @property
    def gini(self) -> float:
        """Gini coefficient of code usage, averaged over codebooks."""
        return float(np.nanmean(self.ginis))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the table's figures first, then those of each codebook."""
        return {
            "items": self.items,
            "length": self.length,
            "codebook_size": self.codebook_size,
            "entropy": self.entropy,
            "perplexity": float(np.nanmean(self.perplexities)),
            "utilisation": self.utilisation,
            "distinct_share": self.distinct_share,
            "colliding_items": self.colliding_items,
            "largest_bucket": self.largest_bucket,
            "gini": self.gini,
            "lacking": dict(self.lacking.items),
            "fit": self.fit,
            "codebooks": [
                {
                    "size": size,
                    "items": int(count.sum()),
                    "used": int(np.count_nonzero(count)),
                    "entropy": float(self.entropies[position]),
                    "perplexity": float(self.perplexities[position]),
                    "utilisation": float(self.utilisations[position]),
                    "gini": float(self.ginis[position]),
                    "largest_code_share": float(count.max() / max(1, count.sum())),
                }
                for position, (size, count) in enumerate(
                    zip(self.codebook_sizes, self.counts, strict=True)
                )
            ],
        }


def inspect_ids(
    ids: SemanticIDs, facts: CatalogueFacts | None = None, lacking: Lacking | None = None
) -> Quality:
    """Statistics of a table; :func:`~mmq.semantic_ids._verdict.verdict` puts them in words.

    Args:
        ids: the table.
        facts: what :func:`catalogue_facts` says of its catalogue; sharpens the verdict.
        lacking: which items lack a modality, for a table whose manifest does not say it.
    """
    noted = ids.manifest.get("lacking")
    known = (lacking or Lacking()) if noted is None else Lacking.from_manifest(noted)
    counts = known.without(code_counts(ids.codes, ids.codebook_sizes))
    shared = sharing(ids.codes)
    nobody = np.array([not count.any() for count in counts])
    entropies, utilisations, ginis = (
        np.where(nobody, np.nan, figure(counts)) for figure in (entropy, utilisation, gini)
    )
    return Quality(
        items=len(ids),
        codebook_sizes=ids.codebook_sizes,
        counts=counts,
        distinct_share=shared.distinct_share,
        colliding_items=shared.colliding_items,
        largest_bucket=shared.largest_bucket,
        collisions=ids.manifest["collisions"],
        imported=is_imported(ids.manifest),
        facts=facts or CatalogueFacts(),
        lacking=known,
        fit=known_fit(ids.manifest),
        entropies=entropies,
        utilisations=utilisations,
        ginis=ginis,
    )

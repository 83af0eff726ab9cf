"""The promises that every tokenizer keeps, as tests to inherit."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import torch

from mmq._model_folder import CONFIG, WEIGHTS, fingerprint
from mmq.data import Catalogue
from mmq.errors import DataError, FormatError
from mmq.made_from import Checkpoint
from mmq.testing._catalogue import ITEMS, WIDTHS, tiny_catalogue
from mmq.testing._interruption import kill_after, raises
from mmq.tokenizers._base import Tokenizer
from mmq.tokenizers._estimator import NetworkTokenizer, split

HOLD_OUT = 0.2


class TokenizerConformance:
    """The promises; each test says one.

    Attributes:
        tokenizer: makes one that is not fitted, with at most 16 codes a position and, where it is
            trained over epochs, at least three of them.
    """

    tokenizer: Callable[[], NetworkTokenizer[Any, Any]]

    @classmethod
    def make(cls, **changes: Any) -> NetworkTokenizer[Any, Any]:
        """One that is not fitted, with some settings changed."""
        made = cls.tokenizer()
        return type(made)(made.settings.model_copy(update=changes), device="cpu")

    @classmethod
    @functools.cache
    def fitted(cls) -> NetworkTokenizer[Any, Any]:
        """The one that most tests look at, fitted once."""
        made = cls.make()
        made.fit(tiny_catalogue(), hold_out=HOLD_OUT)
        return made

    @classmethod
    @functools.cache
    def fitted_on_gaps(cls) -> NetworkTokenizer[Any, Any]:
        """One fitted on items of which some have no image."""
        made = cls.make()
        made.fit(tiny_catalogue(missing=0.3))
        return made

    def test_it_is_a_tokenizer(self) -> None:
        """It has all that the protocol asks for, and says what an ID looks like."""
        tokenizer = self.fitted()
        assert isinstance(tokenizer, Tokenizer)
        assert tokenizer.dimensions == WIDTHS
        assert tokenizer.codebook_sizes == (tokenizer.settings.codebook_size,) * tokenizer.length
        groups = tokenizer.positions
        assert set(groups) <= {"shared", *WIDTHS}
        places = [place for group in groups.values() for place in group]
        assert sorted(places) == list(range(tokenizer.length))

    def test_codes_are_numbers_of_codewords(self) -> None:
        """Shape, type and range of the codes; every position tells items apart."""
        tokenizer, catalogue = self.fitted(), tiny_catalogue()
        codes = tokenizer.encode(catalogue)
        assert codes.shape == (ITEMS, tokenizer.length)
        assert codes.dtype == np.int32
        assert codes.min() >= 0
        assert (codes.max(0) < tokenizer.codebook_sizes).all()
        assert (codes.max(0) > codes.min(0)).all()

    def test_codes_do_not_depend_on_order_or_company(self) -> None:
        """An item has the same code in every batch and at every place of it."""
        tokenizer, catalogue = self.fitted(), tiny_catalogue()
        codes = tokenizer.encode(catalogue)
        order = np.random.default_rng(1).permutation(ITEMS)
        np.testing.assert_array_equal(tokenizer.encode(catalogue.take(order)), codes[order])
        np.testing.assert_array_equal(tokenizer.encode(catalogue.take(np.arange(7))), codes[:7])

    def test_codes_do_not_depend_on_scale(self) -> None:
        """Embeddings count by their direction."""
        tokenizer, catalogue = self.fitted(), tiny_catalogue()
        louder = {name: 4 * matrix for name, matrix in catalogue.embeddings.items()}
        codes = tokenizer.encode(Catalogue.build(catalogue.item_ids, louder))
        np.testing.assert_array_equal(codes, tokenizer.encode(catalogue))

    def test_the_best_codeword_is_the_code(self) -> None:
        """Similarities ``(items, length, k)`` are largest at the code."""
        tokenizer, catalogue = self.fitted(), tiny_catalogue()
        similarities = tokenizer.similarities(catalogue)
        assert similarities.shape == (ITEMS, tokenizer.length, tokenizer.settings.codebook_size)
        np.testing.assert_array_equal(similarities.argmax(2), tokenizer.encode(catalogue))

    def test_figures_are_those_of_the_decoded_codes(self) -> None:
        """``measure`` gives what ``decode`` gives, better than the mean, on items never seen too.

        What the tokenizer knows beside the codes may lower ``fvu`` further.
        """
        for tokenizer, missing in ((self.fitted(), 0.0), (self.fitted_on_gaps(), 0.3)):
            catalogue = tiny_catalogue(missing=missing, seed=1)
            figures = tokenizer.measure(catalogue)
            decoded = tokenizer.decode(tokenizer.encode(catalogue))
            errors, unexplained = _errors(catalogue, decoded)
            np.testing.assert_allclose(figures.l_recon_codes, sum(errors) / ITEMS, rtol=1e-3)
            counts = [catalogue.present[modality].sum() for modality in WIDTHS]
            expected = sum(f * n for f, n in zip(unexplained, counts, strict=True)) / sum(counts)
            np.testing.assert_allclose(figures.fvu_codes, expected, rtol=1e-3)
            assert figures.fvu_codes < 1
            assert list(figures.fvu_by_modality) == list(WIDTHS)
            by_modality = list(figures.fvu_by_modality.values())
            np.testing.assert_allclose(by_modality, unexplained, rtol=1e-3)

    def test_the_result_of_a_fit_measures_both_parts(self) -> None:
        """The figures of the held-out part are those of ``measure`` on these items."""
        tokenizer, catalogue = self.fitted(), tiny_catalogue()
        held = split(ITEMS, HOLD_OUT, tokenizer.settings.seed)["held_out"].numpy()
        figures = tokenizer.measure(catalogue.take(held))
        np.testing.assert_allclose(tokenizer.figures["fvu"]["held_out"], figures.fvu, rtol=1e-5)
        assert set(tokenizer.figures["fvu_codes"]) == {"fit", "held_out"}

    def test_held_out_items_have_no_say(self) -> None:
        """What is fitted does not change with the items held out."""
        catalogue, other = tiny_catalogue(), self.make()
        parts = split(ITEMS, HOLD_OUT, other.settings.seed)
        embeddings = {name: matrix.copy() for name, matrix in catalogue.embeddings.items()}
        for matrix in embeddings.values():
            shape = matrix[parts["held_out"].numpy()].shape
            matrix[parts["held_out"].numpy()] = np.random.default_rng(5).normal(size=shape)
        other.fit(Catalogue.build(catalogue.item_ids, embeddings), hold_out=HOLD_OUT)
        assert _same(other, self.fitted())

    def test_the_seed_decides_all(self) -> None:
        """The same seed gives the same bits, another one other codes."""
        again, other = self.make(), self.make(seed=1)
        again.fit(tiny_catalogue(), hold_out=HOLD_OUT)
        other.fit(tiny_catalogue(), hold_out=HOLD_OUT)
        assert _same(again, self.fitted())
        codes = other.encode(tiny_catalogue())
        assert not np.array_equal(codes, self.fitted().encode(tiny_catalogue()))

    def test_fit_leaves_the_callers_randomness_alone(self) -> None:
        """Numbers that the caller draws are the same after a fit as without one."""
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        expected = torch.rand(2).tolist(), np.random.rand(2).tolist()  # noqa: NPY002
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        self.make().fit(tiny_catalogue(60))
        assert (torch.rand(2).tolist(), np.random.rand(2).tolist()) == expected  # noqa: NPY002

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        """Codes, decoded vectors, settings, figures; saved again it has the same fingerprint."""
        tokenizer, catalogue = self.fitted(), tiny_catalogue(seed=2)
        tokenizer.save(tmp_path / "one")
        loaded = type(tokenizer).load(tmp_path / "one", device="cpu")
        assert loaded.settings == tokenizer.settings
        assert loaded.figures == json.loads(json.dumps(tokenizer.figures))
        assert loaded.positions == tokenizer.positions
        assert _same(loaded, tokenizer)
        codes = loaded.encode(catalogue)
        np.testing.assert_array_equal(codes, tokenizer.encode(catalogue))
        for modality, matrix in loaded.decode(codes).items():
            np.testing.assert_array_equal(matrix, tokenizer.decode(codes)[modality])
        loaded.save(tmp_path / "two")
        assert fingerprint(tmp_path / "two") == fingerprint(tmp_path / "one")

    def test_what_is_missing_has_no_say(self) -> None:
        """Whatever numbers stand in the place of a missing embedding, the fit is the same."""
        plain, other = tiny_catalogue(missing=0.3), self.make()
        absent = ~plain.present["image"]
        image = np.where(absent[:, None], np.float32(3), plain.embeddings["image"])
        embeddings = {"text": plain.embeddings["text"], "image": image}
        other.fit(Catalogue(plain.item_ids, embeddings, plain.present))
        assert _same(other, self.fitted_on_gaps())

    def test_items_without_a_modality_share_its_codes(self) -> None:
        """At positions of the image alone there is one code for all that have none."""
        tokenizer, catalogue = self.fitted_on_gaps(), tiny_catalogue(missing=0.3)
        codes = tokenizer.encode(catalogue)[~catalogue.present["image"]]
        assert len(np.unique(codes, axis=0)) > 1
        own = tokenizer.positions.get("image", [])
        assert len(np.unique(codes[:, own], axis=0)) == 1

    def test_any_number_of_modalities(self) -> None:
        """One and three modalities are as good as two."""
        for widths in ({"text": 12}, {"text": 12, "image": 8, "a.b c": 5}):
            tokenizer, catalogue = self.make(), tiny_catalogue(widths=widths)
            result = tokenizer.fit(catalogue)
            assert set(result.fvu_by_modality["fit"]) == set(widths)
            assert result.fvu_codes["fit"] < 1
            decoded = tokenizer.decode(tokenizer.encode(catalogue))
            assert {m: matrix.shape for m, matrix in decoded.items()} == {
                modality: (ITEMS, width) for modality, width in widths.items()
            }

    def test_a_killed_fit_goes_on_to_the_same_bits(self, tmp_path: Path, monkeypatch: Any) -> None:
        """Resumed from a checkpoint it ends as one that was never stopped."""
        file, killed = tmp_path / "checkpoint", self.make()
        monkeypatch.setattr("mmq.training._loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        kill_after(2, monkeypatch)
        again = Checkpoint(file, resume=True)
        try:
            killed.fit(tiny_catalogue(), HOLD_OUT, Checkpoint(file))
        except KeyboardInterrupt:
            monkeypatch.undo()
        else:
            trained = any("epoch" in line for line in killed.log)
            assert not trained, "it is trained over epochs and writes no checkpoint"
            raise SkipTest("it writes no checkpoint")
        with raises(FormatError, "other data"):
            killed.fit(tiny_catalogue(), HOLD_OUT, again.of(log="other"))
        killed.fit(tiny_catalogue(), HOLD_OUT, again)
        assert _same(killed, self.fitted())

    def test_what_it_refuses_to_fit(self) -> None:
        """Too few items, a modality that none has, a hold-out that is no share."""
        size = self.fitted().settings.codebook_size
        with raises(DataError, f"fewer than the {size} codes"):
            self.make().fit(tiny_catalogue(size - 1))
        with raises(DataError, "no item has a image"):
            self.make().fit(tiny_catalogue(missing=1.1))
        for share in (-0.1, 1.0):
            with raises(DataError, "hold-out"):
                self.make().fit(tiny_catalogue(), hold_out=share)

    def test_what_it_refuses_to_encode(self) -> None:
        """Other widths and modalities; anything before it is fitted."""
        with raises(DataError, "not fitted"):
            self.make().encode(tiny_catalogue())
        for widths, expected in (
            ({"text": 11, "image": 8}, "fitted on 12"),
            ({"text": 12}, "no modality 'image'"),
            ({**WIDTHS, "audio": 3}, "does not know"),
        ):
            with raises(DataError, expected):
                self.fitted().encode(tiny_catalogue(widths=widths))

    def test_what_it_refuses_to_decode(self) -> None:
        """Codes of another length or out of range."""
        tokenizer = self.fitted()
        size, length = tokenizer.settings.codebook_size, tokenizer.length
        with raises(DataError, "expected"):
            tokenizer.decode(np.zeros((2, length + 1), np.int32))
        for wrong in (-1, size):
            with raises(DataError, rf"0 \.\. {size - 1}"):
                tokenizer.decode(np.full((2, length), wrong, np.int32))

    def test_damaged_and_foreign_folders(self, tmp_path: Path) -> None:
        """A folder with other content is left alone, damaged files are refused by name."""
        tokenizer = self.fitted()
        (tmp_path / "thesis.txt").write_text("years of work")
        with raises(DataError, "holds other files"):
            tokenizer.save(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
        for name in (CONFIG, WEIGHTS):
            folder = tmp_path / name.partition(".")[0]
            tokenizer.save(folder)
            (folder / name).write_bytes((folder / name).read_bytes()[:-20])
            with raises(FormatError, "truncated or damaged"):
                type(tokenizer).load(folder, device="cpu")


def _same(one: NetworkTokenizer[Any, Any], other: NetworkTokenizer[Any, Any]) -> bool:
    """Whether two have learned the same to the bit, and save the same arrays."""
    arrays = [tokenizer.tensors() for tokenizer in (one, other)]
    return arrays[0].keys() == arrays[1].keys() and all(
        np.array_equal(array, arrays[1][name]) for name, array in arrays[0].items()
    )


def _errors(
    catalogue: Catalogue, decoded: Mapping[str, np.ndarray]
) -> tuple[list[float], list[float]]:
    """Of each modality the squared error of the unit embeddings that are there, summed, and its
    share of their variance, by plain loops.
    """
    errors, unexplained = [], []
    for modality, matrix in catalogue.embeddings.items():
        rows = np.flatnonzero(catalogue.present[modality]).tolist()
        units = {row: matrix[row] / np.sqrt(sum(x * x for x in matrix[row])) for row in rows}
        mean = np.mean(list(units.values()), axis=0)
        error = variance = 0.0
        for row, unit in units.items():
            error += float(((unit - decoded[modality][row]) ** 2).sum())
            variance += float(((unit - mean) ** 2).sum())
        errors.append(error)
        unexplained.append(error / variance)
    return errors, unexplained

"""Bad input to stage 2: one sentence, and nothing has changed."""

import functools
import re

import numpy as np
import pytest
import torch

from finetuning.tiny import ITEMS, PPNET, STUDENTS, TOKENIZERS, catalogue, impressions, retrieval
from mmq import Catalogue
from mmq.errors import DataError, FormatError, SettingsError, UserError
from mmq.finetuning import FinetuneSettings, finetune
from mmq.made_from import Checkpoint
from mmq.ranking import PPNet, RankingData
from mmq.recommenders import RetrievalData, SplitSettings
from mmq.semantic_ids import SemanticIDs, append
from mmq.testing import tiny_log
from mmq.tokenizers import MMQTokenizer, OPQTokenizer, RQKMeansTokenizer, RQVAETokenizer

QUICK = FinetuneSettings(epochs=2)


@functools.cache
def fitted(kind="mmq"):
    made = TOKENIZERS[kind]()
    made.fit(catalogue())
    return made


@functools.cache
def start(problem):
    """Not to be changed."""
    return fitted(), *STUDENTS[problem](fitted(), epochs=1)


def table(made, items=None):
    items = items or catalogue()
    return SemanticIDs.build(items.item_ids, made.encode(items), made.codebook_sizes)


def refused(error, match, made, student, data, items=None, settings=QUICK, **more):
    """It is refused before anything is changed."""
    network = student._network
    before = {n: v.clone() for n, v in network.state_dict().items()} if network else {}
    with pytest.raises(error, match=match) as caught:
        finetune(made, student, data, items or catalogue(), settings, **more)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    if network:
        assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())
        assert not any(each.requires_grad for each in network.parameters())


# --- tokenizers ---


@pytest.mark.parametrize(
    "made",
    [
        OPQTokenizer(codebook_size=8, length=2, device="cpu"),
        RQKMeansTokenizer(codebook_size=8, length=2, device="cpu"),
    ],
    ids=["opq", "rqkmeans"],
)
def test_a_tokenizer_without_gradients(made):
    made.fit(catalogue(missing=False))
    _, student, data = start("retrieval")
    refused(
        SettingsError, "does not learn by gradients.*fit one of mmq and rqvae", made, student, data
    )


@pytest.mark.parametrize(
    "made",
    [
        MMQTokenizer(learning="gradient", codebook_size=8, latent_dim=8, epochs=2, device="cpu"),
        RQVAETokenizer(codebook_size=8, hidden_sizes=(), epochs=2, device="cpu"),
    ],
    ids=["mmq", "rqvae"],
)
def test_codes_refined_as_in_format_one(made):
    """Such a tokenizer has its network of before, and sweeps over the codes that it finds."""
    made.fit(catalogue())
    made.settings = made.settings.model_copy(update={"refinement": 1})
    _, student, data = start("retrieval")
    refused(SettingsError, "of an older mmq, have no gradient.*refinement=0", made, student, data)


@pytest.mark.parametrize("problem", STUDENTS)
def test_the_tokenizer_of_other_ids(problem):
    other = TOKENIZERS["mmq"]()
    other = type(other)(other.settings.model_copy(update={"seed": 9}), device="cpu")
    other.fit(catalogue())
    _, student, data = start(problem)
    refused(DataError, "another ID in the model than the tokenizer gives", other, student, data)


def test_the_tokenizer_of_ids_of_another_length():
    _, student, data = start("retrieval")
    refused(
        DataError, "codebooks of 8, 8, 8, 8, 8 codes, .* has 8, 8, 8;", fitted("separated"),
        student, data,
    )  # fmt: skip


def test_the_tokenizer_of_larger_codebooks():
    """Whose codes happen to be there is no matter."""
    other = TOKENIZERS["mmq"]()
    other = type(other)(other.settings.model_copy(update={"codebook_size": 7}), device="cpu")
    other.fit(catalogue())
    _, student, data = start("retrieval")
    refused(DataError, "codes, the tokenizer has 7, 7, 7, 7, 7;", other, student, data)


def test_ids_that_were_moved():
    """``mmq encode --collisions move`` gives IDs that are not those of the tokenizer."""
    made, _, data = start("ranking")
    ids = table(made)
    codes = ids.codes.copy()
    codes[3, 0] = (codes[3, 0] + 1) % 8
    moved = SemanticIDs.build(
        ids.item_ids, codes, ids.codebook_sizes, {**ids.manifest, "collisions": "move"}
    )
    student = PPNet(**{**PPNET, "epochs": 1}, device="cpu")
    student.fit(data, moved)
    refused(DataError, "1 of the 30 items.*'item-3'.*--collisions rank", made, student, data)


def test_a_tokenizer_or_a_model_that_is_not_fitted():
    made, student, data = start("retrieval")
    refused(DataError, "not fitted yet", TOKENIZERS["mmq"](), student, data)
    refused(DataError, "not fitted yet", made, type(student)(device="cpu"), data)


# --- models ---


def test_a_ranker_without_ids():
    made, _, data = start("ranking")
    student = PPNet(**{**PPNET, "epochs": 1}, device="cpu")
    student.fit(data)
    refused(SettingsError, "trained without semantic IDs.*--ids", made, student, data)


def test_a_ranker_of_prefixes():
    made, _, data = start("ranking")
    student = PPNet(**{**PPNET, "epochs": 1, "code_features": "prefixes"}, device="cpu")
    student.fit(data, table(made))
    refused(SettingsError, "a ranker of prefixes.*code_features=codes", made, student, data)


@pytest.mark.parametrize("problem", STUDENTS)
def test_a_model_that_was_given_a_newer_table(problem):
    made = fitted()
    student, data = STUDENTS[problem](made, epochs=1)
    new = Catalogue.build(
        ["new"], {name: np.eye(1, width) for name, width in catalogue().dimensions.items()}
    )
    ids = append(student.semantic_ids, new.item_ids, made.encode(new)).ids
    student.with_ids(ids)
    old = catalogue(missing=False)
    whole = Catalogue.build(
        [f"item-{row}" for row in range(ITEMS)] + ["new"],
        {n: np.concatenate([old.embeddings[n], new.embeddings[n]]) for n in new.embeddings},
    )
    refused(SettingsError, "given another table of items", made, student, data, whole)


# --- data ---


def test_another_log_than_the_model_was_trained_on():
    """Its items would be counted among those without interactions."""
    made, student, data = start("retrieval")
    split = SplitSettings(min_interactions=0)
    other = RetrievalData.of(tiny_log(seed=1), data.ids, split)
    refused(DataError, "not what the model was trained on; give the same log", made, student, other)
    order = np.arange(ITEMS)[::-1]
    turned = RetrievalData.of(tiny_log(), table(made, catalogue().take(order)), split)
    refused(DataError, "not what the model was trained on", made, student, turned)
    made, student, _ = start("ranking")
    other = RankingData.of(impressions(300))
    refused(DataError, "not what the model was trained on; give the same log", made, student, other)


@pytest.mark.parametrize("problem", STUDENTS)
def test_a_catalogue_that_lacks_an_item(problem):
    made, student, data = start(problem)
    few = catalogue().take(np.arange(ITEMS - 1))
    refused(DataError, "'item-29' is not in the catalogue", made, student, data, few)


def test_a_catalogue_of_other_embeddings():
    made, student, data = start("retrieval")
    other = catalogue(missing=False)
    wide = {"text": np.ones((ITEMS, 4)), "image": other.embeddings["image"]}
    refused(
        DataError, "text", made, student, data, Catalogue.build(other.item_ids.to_pylist(), wide)
    )
    one = Catalogue.build(other.item_ids.to_pylist(), {"text": other.embeddings["text"]})
    refused(DataError, "image", made, student, data, one)
    numbers = Catalogue.build(range(ITEMS), {"text": wide["image"], "image": wide["image"]})
    refused(DataError, "is not in the catalogue", made, student, data, numbers)


# --- settings and checkpoints ---


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"epoch": 3}, "unknown setting 'epoch'; did you mean 'epochs'"),
        ({"epochs": 0}, "'epochs' = 0"),
        ({"epochs": 1}, "1 leaves none; take epochs=2 or more, mode=joint"),
        ({"patience": 0}, "'patience' = 0"),
        ({"tokenizer_rate": -0.1}, "'tokenizer_rate' = -0.1"),
        ({"temperature": 0}, "'temperature' = 0"),
        ({"temperature": float("nan")}, "'temperature' = nan"),
        ({"tokenizer_rate": float("inf")}, "'tokenizer_rate' = inf"),
        ({"temperature_end": 0}, "'temperature_end' = 0"),
        ({"noise": -1}, "'noise' = -1"),
        ({"max_colliding": 1.1}, "'max_colliding' = 1.1"),
        ({"items_per_step": 0}, "'items_per_step' = 0"),
        ({"refreshes": 0}, "'refreshes' = 0"),
        ({"refit_epochs": -1}, "'refit_epochs' = -1"),
        ({"target_codes": "hard"}, "'target_codes' = 'hard'"),
        ({"schedule": "linear"}, "'schedule' = 'linear'"),
        ({"warmup": 2}, "'warmup' = 2"),
        ({"seed": -1}, "'seed' = -1"),
        ({"reconstruction_weight": "much"}, "'reconstruction_weight' = 'much'"),
    ],
    ids=str,
)
def test_bad_settings(values, match):
    with pytest.raises(SettingsError, match=re.escape(match)):
        FinetuneSettings.parse(values)


def test_settings_survive_json():
    settings = FinetuneSettings(temperature_end=0.03, refit_epochs=2, max_colliding=0.3)
    assert FinetuneSettings.parse(settings.to_dict()) == settings


@pytest.mark.parametrize("problem", STUDENTS)
def test_a_training_that_diverges_leaves_both_as_they_were(problem):
    made, student, data = start(problem)
    codes = made.encode(catalogue())
    wild = FinetuneSettings(epochs=2, learning_rate=1e30)
    refused(DataError, "diverged", made, student, data, settings=wild)
    assert np.array_equal(made.encode(catalogue()), codes)
    assert np.array_equal(student.semantic_ids.codes, codes)


def test_the_checkpoint_of_something_else_is_refused(tmp_path):
    made = fitted()
    student, data = retrieval(made, epochs=1)
    path = tmp_path / "checkpoint"
    still = {"epochs": 1, "learning_rate": 1e-12, "tokenizer_rate": 0.0}
    settings = FinetuneSettings(**still)
    finetune(made, student, data, catalogue(), settings, Checkpoint(path))
    sentence = "unfinished work on other data or other settings"

    def again(model=student, settings=settings, **more):
        checkpoint = Checkpoint(path, more.pop("made_from", {}), resume=True)
        refused(
            FormatError, sentence, more.pop("made", made), model, more.pop("data", data),
            settings=settings, checkpoint=checkpoint, **more,
        )  # fmt: skip

    again(settings=FinetuneSettings(**{**still, "epochs": 2}))
    again(settings=FinetuneSettings(**still, noise=0.5))
    again(made_from={"log": "another file"})
    other, _ = retrieval(made, epochs=1, dropout=0.3)
    again(other)
    tokenizer = TOKENIZERS["mmq"]()
    tokenizer = type(tokenizer)(tokenizer.settings.model_copy(update={"seed": 9}), device="cpu")
    tokenizer.fit(catalogue())
    model, log = retrieval(tokenizer, epochs=1)
    again(model, made=tokenizer, data=log)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    refused(
        FormatError, "not a whole safetensors file", made, student, data, settings=settings,
        checkpoint=Checkpoint(path, resume=True),
    )  # fmt: skip
    path.write_bytes(whole)
    finetune(made, student, data, catalogue(), settings, Checkpoint(path, resume=True))

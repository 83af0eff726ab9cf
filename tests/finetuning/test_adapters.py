"""What stage 2 asks of a kind of model, and which kinds answer."""

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from finetuning.tiny import STUDENTS, tokenizer
from mmq.errors import SettingsError
from mmq.finetuning._adapters import ADAPTERS, Adapter, adapter_of
from mmq.model import kinds

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "finetuning.md"
MODELS = {**kinds("recommender"), **kinds("ranker")}
ASKED = [name for name in vars(Adapter) if not name.startswith("_")]


@pytest.mark.parametrize("kind", sorted(MODELS.keys() - ADAPTERS.keys()))
def test_a_model_without_adapter_is_told_what_can_be_fine_tuned(kind):
    family = MODELS[kind].folder_format.family
    other = {"recommender": "heterrec", "ranker": "ppnet"}[family]
    with pytest.raises(SettingsError) as caught:
        adapter_of(MODELS[kind]())
    assert str(caught.value) == f"{kind} models cannot be fine-tuned; give a {other} model"


def test_adapters_are_of_the_kinds_that_the_guide_names():
    (needs,) = re.findall(r"^It needs .*$", GUIDE.read_text(), re.MULTILINE)
    assert {name for name in re.findall(r"`([^`]*)`", needs) if name in MODELS} == ADAPTERS.keys()


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_answers_all_that_is_asked(kind):
    adapter = ADAPTERS[kind](SimpleNamespace(kind=kind))
    assert len(ASKED) == 5
    for name in ASKED:
        asked = inspect.signature(getattr(Adapter, name)).parameters
        answered = inspect.signature(getattr(type(adapter), name)).parameters
        assert list(asked) == list(answered)
        assert [each.default for each in asked.values()] == [
            each.default for each in answered.values()
        ]


@pytest.mark.parametrize("problem", STUDENTS)
def test_renamed_items_have_other_ids_and_weights_stay(problem):
    student, data = STUDENTS[problem](tokenizer(), epochs=1)
    adapter, ids = adapter_of(student), student.semantic_ids
    weights = {name: value.clone() for name, value in student.network.named_parameters()}
    codes = np.roll(ids.codes, 1, axis=0)
    adapter.rename(codes)
    assert np.array_equal(student.semantic_ids.codes, codes)
    assert student.semantic_ids.item_ids.equals(ids.item_ids)
    adapter.require_soft(data)  # still the table that it was fitted to
    for name, value in student.network.named_parameters():
        assert torch.equal(value, weights[name])

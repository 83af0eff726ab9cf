import numpy as np
import pyarrow as pa
import pytest

from mmq import Catalogue
from mmq.encoders._behaviour import BehaviourEmbeddings
from mmq.encoders._predicted import content_of, learn_prediction
from mmq.errors import DataError

ITEMS, KNOWN = 400, 300


def made(noise=0.0):
    """Items whose behaviour is a linear map of their unit-normed content, but for noise."""
    rng = np.random.default_rng(0)
    text = rng.standard_normal((ITEMS, 6)).astype(np.float32)
    image = rng.standard_normal((ITEMS, 4)).astype(np.float32)
    present = {"text": np.ones(ITEMS, bool), "image": rng.random(ITEMS) > 0.2}
    items = Catalogue(pa.array(range(ITEMS)), {"text": text, "image": image}, present)
    behaviour = content_of(items) @ rng.standard_normal((10, 5))
    behaviour += noise * rng.standard_normal(behaviour.shape)
    found = BehaviourEmbeddings(behaviour.astype(np.float32), np.arange(ITEMS) < KNOWN)
    found.matrix[KNOWN:] = 0
    return items, found, behaviour


def cosine(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def guesses(prediction, items):
    return (content_of(items) - prediction.centre) @ prediction.weights + prediction.offset


def test_what_the_content_tells_is_told():
    items, found, behaviour = made()
    prediction = learn_prediction([items], found)
    alike = cosine(guesses(prediction, items)[KNOWN:], behaviour[KNOWN:])
    assert alike.mean() > 0.97
    assert prediction.likeness == pytest.approx(alike.mean(), abs=0.02)


def test_the_nearest_known_item_lends_its_behaviour():
    items, found, behaviour = made()
    prediction = learn_prediction([items], found)
    whole = prediction.complete(items, found)
    known = found.matrix[:KNOWN] / np.linalg.norm(found.matrix[:KNOWN], axis=1, keepdims=True)
    for row in range(KNOWN, ITEMS):
        nearest = (known @ guesses(prediction, items)[row]).argmax()
        np.testing.assert_allclose(whole.matrix[row], known[nearest], atol=1e-6)
    assert whole.present.all()
    assert cosine(whole.matrix[KNOWN:], behaviour[KNOWN:]).mean() > 0.9


def test_blocks_change_nothing(monkeypatch):
    items, found, _ = made()
    prediction = learn_prediction([items], found)
    whole = prediction.complete(items, found)
    monkeypatch.setattr("mmq.encoders._predicted._BLOCK", 7)
    np.testing.assert_array_equal(prediction.complete(items, found).matrix, whole.matrix)


def test_what_is_known_stays_as_it_is():
    items, found, _ = made()
    before = found.matrix.copy()
    whole = learn_prediction([items], found).complete(items, found)
    np.testing.assert_array_equal(whole.matrix[:KNOWN], before[:KNOWN])
    np.testing.assert_array_equal(found.matrix, before)


def test_more_noise_asks_for_more_penalty():
    quiet, loud = (made(noise)[:2] for noise in (0.0, 5.0))
    sizes = [np.linalg.norm(learn_prediction([items], found).weights) for items, found in
             (quiet, loud)]  # fmt: skip
    assert sizes[1] < sizes[0] / 3


def test_the_solution_is_that_of_the_normal_equations():
    items, found, _ = made(0.3)
    prediction = learn_prediction([items], found)
    content = content_of(items)[:KNOWN]
    target = found.matrix[:KNOWN] / np.linalg.norm(found.matrix[:KNOWN], axis=1, keepdims=True)
    x, y = content - content.mean(0), target - target.mean(0)
    residue = x.T @ (y - x @ prediction.weights)
    strengths = residue / prediction.weights
    np.testing.assert_allclose(strengths, np.median(strengths), rtol=0.05)


def test_pieces_of_a_catalogue_give_the_same():
    items, found, _ = made(0.1)
    whole, pieces = learn_prediction([items], found), learn_prediction(items.batches(37), found)
    np.testing.assert_array_equal(whole.weights, pieces.weights)


def test_an_item_without_content_stays_without():
    items, found, _ = made()
    none = {name: np.where(np.arange(ITEMS) == ITEMS - 1, False, there)
            for name, there in items.present.items()}  # fmt: skip
    items = Catalogue(items.item_ids, items.embeddings, none)
    whole = learn_prediction([items], found).complete(items, found)
    assert whole.present.tolist() == [True] * (ITEMS - 1) + [False]
    assert not whole.matrix[-1].any()


def test_one_known_item_is_too_few():
    items, found, _ = made()
    with pytest.raises(DataError, match="only one item has a history"):
        learn_prediction([items], found._replace(present=np.arange(ITEMS) == 0))

import numpy as np
import pyarrow as pa

from mmq.data._sequences import Packed, Sequences
from mmq.ranking._impressions import Impressions
from mmq.ranking._unseen import Unseen, unseen_values
from mmq.ranking._vocabulary import Numbering, Vocabulary


def vocabulary(devices, **more):
    ids = pa.array([1])
    counts = tuple(np.ones((len(each), 2), np.int64) for each in (ids, ids, devices))
    return Vocabulary(ids, ids, {"device": pa.array(devices), **more}, counts=counts)


def shown(columns):
    rows = len(columns)
    zeros = np.zeros(rows, np.int64)
    nothing = Sequences.of(Packed(zeros[:0], np.array([0])))
    numbers = np.empty((rows, 0), np.float32)
    return Impressions(zeros, zeros, zeros, columns, numbers, nothing, zeros)


def test_values_are_counted_where_there_are_any_and_training_did_not_see_them():
    known = vocabulary(["desk", "phone"])
    log = vocabulary(["", "phone", "watch", "desk"], page=pa.array(["home"]))
    rows = shown(np.array([[0, 0], [1, 0], [2, 0], [2, 0], [3, 0]]))
    found = unseen_values(log, Numbering.of(log, known), rows)
    assert found == {"device": Unseen(4, 2, "watch")}
    none = unseen_values(log, Numbering.of(log, known), rows.take(np.array([0, 1])))
    assert none == {"device": Unseen(1, 0, "")}


def test_parts_add_up_and_most_of_them_unseen_is_a_concern():
    assert Unseen(4, 0).and_(Unseen(3, 3, "watch")) == Unseen(7, 3, "watch")
    assert Unseen(4, 2, "watch").concern("device") == []
    (sentence,) = Unseen(4000, 3000, "watch").concern("device")
    assert sentence.startswith("3,000 of 4,000 rows have a value of the column device that trai")
    assert "such as 'watch'" in sentence

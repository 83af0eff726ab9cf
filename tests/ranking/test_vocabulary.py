import numpy as np
import pyarrow as pa
import pytest
from ranking_shop import OLD, columns

from mmq.data._log import LogReader
from mmq.ranking import RankingData


def known(**changes):
    """What occurs in the training part of the small log, with a column beside."""
    log = {**columns(), "place": np.array(["top", "side"])[np.arange(2000) % 2], **changes}
    made = RankingData.of(LogReader.of(pa.table(log), ("place",)))
    return made.vocabulary.seen_in(made.train)


def test_it_knows_what_training_met_alone():
    assert len(known().items) == OLD
    assert known().shown.sum() == 0.8 * 2000


def test_ids_may_differ_in_type():
    assert known().alike(known(user_id=columns()["user_id"].astype(str)))


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": columns()["user_id"] + 1},
        {"item_id": np.roll(columns()["item_id"], 1)},  # as many, but others are in training
        {"place": np.array(["top", "foot"])[np.arange(2000) % 2]},
    ],
)
def test_another_log_is_not_alike(changes):
    assert not known().alike(known(**changes))

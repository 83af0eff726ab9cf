"""What the cells are made from."""

import numpy as np
from paper_shop import request, write_shop

from experiments import data
from experiments.paper import worlds
from experiments.paper.prepare import prepare
from mmq.data._interactions import Interactions, write_interactions
from mmq.data._log import read_interactions


def test_behaviour_of_a_ranker_is_of_its_own_training_part(tmp_path, monkeypatch):
    """Likes grow more frequent: the first tenths of the likes are not those of the log."""
    shop = write_shop(tmp_path / "shop", ratings=False)
    rng = np.random.default_rng(0)
    log = read_interactions(shop / "interactions.parquet").table.to_pydict()
    rows = len(log["user_id"])
    log["label"] = (rng.random(rows) < np.linspace(0.1, 0.9, rows)).astype(np.int8)
    write_interactions(shop / "interactions.parquet", Interactions.build(log))
    setup = prepare(request(shop, tmp_path / "out")).setup
    seen = []
    monkeypatch.setattr(data, "embed_behaviour", spy(data.embed_behaviour, seen))
    worlds.items_of(setup, "ranking", 0)
    train = worlds.ranking_world(setup).data.train
    assert seen[0].lengths.sum() == int((train.labels == 1).sum())


def spy(function, seen):
    def called(first, *others):
        seen.append(first)
        return function(first, *others)

    return called


def test_what_a_file_of_rows_prints_is_no_result(tmp_path, capsys):
    own = tmp_path / "own.py"
    own.write_text(
        "from mmq.recommenders import Popularity\n"
        "print('hello')\n"
        "def made(seed):\n    print('made')\n    return Popularity()\n"
        "ROWS = {'mine': made}\n"
    )
    assert worlds.own_rows((own,)).keys() == {"mine"}
    worlds.sorted_out(worlds.own_rows((own,)))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "hello\nmade\n"

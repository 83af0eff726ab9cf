import json

import numpy as np
import pyarrow as pa
import pytest
from retrieval_shop import ITEMS, SMALL, SOLD, columns, run, table, train, write_shop

from mmq import read_catalogue
from mmq.data._interactions import Interactions, write_interactions
from mmq.data._sequences import Packed, Sequences
from mmq.encoders._behaviour import BehaviourSettings, embed_behaviour
from mmq.encoders._predicted import learn_prediction
from mmq.recommenders import Recommender, RetrievalData, SplitSettings

SMALLER = ["--set", "dimension=8"]
LEFT = ["--set", "missing=left"]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    write_shop(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def embed(capsys, *options):
    return run(
        capsys, "embed", "behaviour", "catalogue.parquet", "--interactions", "log.parquet",
        "--out", "new.parquet", *options,
    )  # fmt: skip


def test_one_more_modality_and_nothing_else_changes(shop, capsys):
    code, out, err = embed(capsys, *SMALLER, *LEFT, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    old, new = read_catalogue("catalogue.parquet"), read_catalogue("new.parquet")
    assert new.item_ids.equals(old.item_ids)
    assert new.attributes.equals(old.attributes)
    np.testing.assert_array_equal(new.embeddings["text"], old.embeddings["text"])
    data = RetrievalData.of(Interactions.build(columns()), old.item_ids)
    expected = embed_behaviour(data.train, len(old), BehaviourSettings(dimension=8))
    np.testing.assert_array_equal(new.embeddings["behaviour"], expected.matrix)
    np.testing.assert_array_equal(new.present["behaviour"], expected.present)
    assert (result["dimension"], result["without_history"]) == (8, len(old) - SOLD)
    assert (result["predicted"], result["likeness"]) == (False, None)
    assert result["training_interactions"] == data.train.lengths.sum()


def test_what_is_held_out_is_not_seen(shop, capsys):
    """The last two purchases of every user may be anything: the embedding stays as it is."""
    embed(capsys, *SMALLER)
    before = read_catalogue("new.parquet").embeddings["behaviour"]
    changed = columns()
    held = np.tile(np.arange(9) >= 7, len(changed["user_id"]) // 9)
    changed["item_id"][held] = (changed["item_id"][held] + 7) % SOLD
    write_interactions("log.parquet", Interactions.build(changed))
    embed(capsys, *SMALLER)
    np.testing.assert_array_equal(read_catalogue("new.parquet").embeddings["behaviour"], before)


def test_items_without_history_get_what_their_content_lets_expect(shop, capsys):
    code, out, err = embed(capsys, *SMALLER, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    new = read_catalogue("new.parquet")
    data = RetrievalData.of(Interactions.build(columns()), new.item_ids)
    known = embed_behaviour(data.train, len(new), BehaviourSettings(dimension=8))
    prediction = learn_prediction([read_catalogue("catalogue.parquet")], known)
    expected = prediction.complete(read_catalogue("catalogue.parquet"), known)
    np.testing.assert_array_equal(new.embeddings["behaviour"], expected.matrix)
    np.testing.assert_array_equal(new.embeddings["behaviour"][:SOLD], known.matrix[:SOLD])
    assert new.present["behaviour"].all()
    assert (result["without_history"], result["predicted"]) == (len(new) - SOLD, True)
    assert result["likeness"] == pytest.approx(prediction.likeness)
    _, out, _ = embed(capsys, *SMALLER)
    assert f"{len(new) - SOLD} items have no history: they borrow it by their content" in out


def test_item_vectors_of_sasrec(shop, capsys):
    assert train(shop, "model", "--model", "sasrec", *SMALL) == 0
    code, _, err = embed(capsys, "--model", "model", "--name", "clicks", *LEFT)
    assert (code, err) == (0, "")
    new, model = read_catalogue("new.parquet"), Recommender.load("model")
    rows = [model.items.item_ids.index(pa.scalar(item)).as_py() for item in range(SOLD)]
    np.testing.assert_array_equal(
        new.embeddings["clicks"][:SOLD], model.network.items.detach().numpy()[rows]
    )
    assert new.present["clicks"].tolist() == [True] * SOLD + [False] * (ITEMS + 5 - SOLD)


def test_the_training_part_of_a_ranker(shop, capsys):
    """That of its own split, by the times of all that was shown."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 30, 2000), rng.integers(0, SOLD, 2000)
    log = {
        "user_id": users,
        "item_id": items,
        "timestamp": np.arange(2000),
        "label": (rng.random(2000) < np.linspace(0.1, 0.6, 2000)).astype(np.int8),
    }
    write_interactions("log.parquet", Interactions.build(log))
    code, out, err = embed(capsys, *SMALLER, *LEFT, "--for", "ranking", "--json")
    assert (code, err) == (0, "")
    liked = [
        items[:1600][(users[:1600] == user) & (log["label"][:1600] == 1)] for user in range(30)
    ]
    packed = Packed(np.concatenate(liked), np.array([len(each) for each in liked]))
    expected = embed_behaviour(Sequences.of(packed), ITEMS + 5, BehaviourSettings(dimension=8))
    assert json.loads(out)["training_interactions"] == len(packed.rows)
    new = read_catalogue("new.parquet")
    np.testing.assert_array_equal(new.embeddings["behaviour"], expected.matrix)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--min-interactions", 3], "--min-interactions is not for ranking"),
        (["--model", "model"], "--model is not for ranking"),
        (["--split", "leave-one-out"], "chronological"),
    ],
)
def test_what_a_ranker_has_no_use_for(options, sentence, shop, capsys):
    code, _, err = embed(capsys, "--for", "ranking", *SMALLER, *options)
    assert code == 2
    assert sentence in err


def test_a_ranker_needs_a_catalogue_of_all_items(shop, capsys):
    log = columns()
    write_interactions("log.parquet", Interactions.build({**log, "item_id": log["item_id"] + 20}))
    code, _, err = embed(capsys, "--for", "ranking", *SMALLER)
    assert code == 2
    assert "catalogue.parquet lacks 10 items of the log, such as" in err


def test_a_model_of_another_training_part_is_refused(shop, capsys):
    assert train(shop, "model", "--model", "sasrec", "--split", "chronological", *SMALL) == 0
    code, _, err = embed(capsys, "--model", "model")
    assert code == 2
    assert "was trained with split chronological, not leave-one-out" in err
    assert embed(capsys, "--model", "model", "--split", "chronological")[0] == 0
    (shop / "new.parquet").unlink()
    log = columns()
    write_interactions("log.parquet", Interactions.build({k: v[9:] for k, v in log.items()}))
    code, _, err = embed(capsys, "--model", "model", "--split", "chronological")
    assert code == 2
    assert "was not trained on the training part of this log" in err
    assert not (shop / "new.parquet").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--set", "dimension=100"], "40 items occur together with others in the histories"),
        (["--set", "widow=3"], "unknown setting 'widow'; did you mean 'window'?"),
        (["--name", "text"], "has a column 'text' already; give another with --name"),
        (["--name", "title"], "has a column 'title' already"),
        (["--name", "shared"], "has a column 'shared' already"),
        (["--min-interactions", "500"], "no interactions are left"),
        (["--model", "nowhere"], "there is no recommender"),
    ],
)
def test_mistakes_get_a_sentence(options, sentence, shop, capsys):
    code, out, err = embed(capsys, *SMALLER, *options)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (shop / "new.parquet").exists()


def test_a_model_of_another_kind_is_refused(shop, capsys):
    table().write(shop / "ids.parquet")
    assert train(shop, "model", "--ids", shop / "ids.parquet", *SMALL) == 0
    code, _, err = embed(capsys, "--model", "model")
    assert code == 2
    assert "give a SASRec model" in err


def test_items_are_embedded_without_naming_the_command(shop, capsys):
    (shop / "items.jsonl").write_text('{"item_id": 1, "title": "Tin car"}\n')
    code, _, err = run(
        capsys, "embed", "items.jsonl", "--text-columns", "title", "--text-encoder", "light",
        "--image-encoder", "none", "--out", "plain.parquet",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert list(read_catalogue("plain.parquet").embeddings) == ["text"]


def test_a_catalogue_of_other_inputs_is_replaced_with_force_alone(shop, capsys):
    assert embed(capsys, *SMALLER)[0] == embed(capsys, *SMALLER)[0] == 0
    before = (shop / "new.parquet").read_bytes()
    for options, told in (
        (["--set", "dimension=9"], "dimension 8, not 9"),
        ([*SMALLER, "--positive-above", "4"], "positive_above 3.0, not 4.0"),
    ):
        code, _, err = embed(capsys, *options)
        assert code == 2
        assert f"new.parquet holds a catalogue made from other inputs ({told})" in err
        assert (shop / "new.parquet").read_bytes() == before
    assert embed(capsys, "--set", "dimension=9", "--force")[0] == 0
    assert read_catalogue("new.parquet").dimensions["behaviour"] == 9


def test_ties_are_those_of_the_model(shop, capsys):
    """What is held out differs with them, and is not to be seen."""
    log = columns()
    log["timestamp"] = log["timestamp"] // 600  # several purchases of a user at one moment
    write_interactions("log.parquet", Interactions.build(log))
    shuffled = RetrievalData.of(
        Interactions.build(log), read_catalogue("catalogue.parquet").item_ids,
        SplitSettings(ties="shuffled"),
    )  # fmt: skip
    expected = embed_behaviour(shuffled.train, ITEMS + 5, BehaviourSettings(dimension=8))
    assert embed(capsys, *SMALLER, *LEFT, "--ties", "shuffled")[0] == 0
    found = read_catalogue("new.parquet").embeddings["behaviour"]
    np.testing.assert_array_equal(found, expected.matrix)
    assert embed(capsys, *SMALLER, *LEFT, "--force")[0] == 0
    assert not np.array_equal(read_catalogue("new.parquet").embeddings["behaviour"], found)
    options = ("--model", "sasrec", "--ties", "shuffled", "--dedupe", *SMALL)
    assert train(shop, "model", *options) == 0
    for given, remedy in (((), "give --ties shuffled"), (("--ties", "shuffled"), "give --dedupe")):
        code, _, err = embed(capsys, "--model", "model", "--force", *given)
        assert code == 2
        assert remedy in err
    given = ("--ties", "shuffled", "--dedupe")
    assert embed(capsys, "--model", "model", "--force", *given)[0] == 0

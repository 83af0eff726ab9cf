"""Who is told of every epoch: callbacks, and TensorBoard's files."""

import sys

import pytest

from mmq import RQVAETokenizer, SASRec
from mmq.errors import DataError
from mmq.testing import tiny_catalogue, tiny_retrieval_data
from mmq.training import tensorboard, watching

SMALL = {"codebook_size": 4, "length": 2, "latent_dim": 4, "epochs": 3}


def fitted():
    made = RQVAETokenizer(**SMALL, device="cpu")
    made.fit(tiny_catalogue(60))
    return made


def test_every_epoch_is_told_as_it_is_logged():
    told, again = [], []
    with watching(told.append), watching(again.append):
        made = fitted()
    assert told == again == [line for line in made.log if "epoch" in line]
    fitted()
    assert len(told) == 3  # nobody watches any longer


def test_whoever_watches_changes_nothing_and_may_stop_it():
    made = fitted()

    def meddle(figures):
        figures["epoch"] = 99.0

    with watching(meddle):
        assert fitted().log == made.log

    def stop(figures):
        if figures["epoch"] == 2:
            raise KeyboardInterrupt

    with watching(stop), pytest.raises(KeyboardInterrupt):
        fitted()


def test_tensorboard_has_every_figure_of_every_epoch(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    made = SASRec(hidden_dim=8, heads=2, epochs=2, patience=9, device="cpu")
    with tensorboard(tmp_path / "runs"):
        made.fit(tiny_retrieval_data())
    written = events.EventAccumulator(str(tmp_path / "runs")).Reload()
    names = made.log[0].keys() - {"epoch"}
    assert set(written.Tags()["scalars"]) == names
    for name in names:
        found = [(each.step, each.value) for each in written.Scalars(name)]
        expected = [(line["epoch"], pytest.approx(line[name])) for line in made.log]
        assert found == expected


def test_without_tensorboard_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DataError, match=r"run: pip install 'mmq-tokenizer\[tracking\]'"):
        tensorboard(tmp_path / "runs").__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; give a folder"):
        tensorboard(tmp_path / "file").__enter__()

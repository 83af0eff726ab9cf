"""ONNX graphs give what the models give: codes of all kinds of tokenizers, user vectors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmq import Catalogue, Interactions, SemanticIDs, load
from mmq._model_folder import fingerprint
from mmq.cli import main
from mmq.data._interactions import write_interactions
from mmq.data._sequences import Sequences
from mmq.model import model_class
from mmq.semantic_ids import build_manifest

ITEMS, SIZE = 10_000, 16
SMALL = {"hidden_dim": 16, "heads": 2, "epochs": 1, "history": 8}


def embeddings() -> dict[str, np.ndarray]:
    """Two modalities with something in common; a tenth of the items lack the one or the other."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(ITEMS, 6))
    made = {
        name: common @ rng.normal(size=(6, width)) + rng.normal(size=(ITEMS, width))
        for name, width in (("text", 12), ("image", 8))
    }
    lacks = rng.random(ITEMS)
    made["text"][lacks < 0.1] = np.nan
    made["image"][lacks > 0.9] = np.nan
    return made


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.build(range(ITEMS), embeddings())


def session(path: Path) -> Any:
    return pytest.importorskip("onnxruntime").InferenceSession(str(path))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("rqkmeans", {"length": 2}),
        pytest.param("mmq", {}, marks=pytest.mark.slow),
        pytest.param("mmq", {"learning": "gradient", "epochs": 1}, marks=pytest.mark.slow),
        pytest.param("rqkmeans", {"refinement": 2}, marks=pytest.mark.slow),
        pytest.param("rqvae", {"epochs": 1}, marks=pytest.mark.slow),
        pytest.param("opq", {"length": 4}, marks=pytest.mark.slow),
        pytest.param("opq", {"length": 4, "fusion": "separated"}, marks=pytest.mark.slow),
    ],
)
def test_codes_are_those_of_encode(
    catalogue: Catalogue, tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    pytest.importorskip("onnxruntime")
    model = model_class("tokenizer", kind)(codebook_size=SIZE, device="cpu", **settings)
    model.fit(catalogue)
    model.save(tmp_path / "model")
    assert main(["export", "onnx", str(tmp_path / "model"), "--out", str(tmp_path / "m.onnx")]) == 0
    graph = session(tmp_path / "m.onnx")
    present = np.stack([catalogue.present[name] for name in model.dimensions], 1)
    inputs = {name: np.asarray(catalogue.embeddings[name]) for name in model.dimensions}
    inputs["present"] = present.astype(np.float32)
    (codes,) = graph.run(["codes"], inputs)
    # rounding may turn a tie of two codewords over; nothing else may differ
    assert (codes != model.encode(catalogue)).any(1).sum() <= 2
    (one,) = graph.run(["codes"], {name: rows[:1] for name, rows in inputs.items()})
    np.testing.assert_array_equal(one, codes[:1])
    told = graph.get_modelmeta().custom_metadata_map
    assert told["kind"] == kind
    assert told["fingerprint"] == fingerprint(tmp_path / "model")
    assert json.loads(told["modalities"]) == {"text": 12, "image": 8}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 60 users and an ID table of its 40 items."""
    folder = tmp_path_factory.mktemp("log")
    rng = np.random.default_rng(0)
    columns = {
        "user_id": np.repeat(np.arange(60), 9),
        "item_id": np.stack([rng.permutation(40)[:9] for _ in range(60)]).ravel(),
        "timestamp": 1_700_000_000 + np.arange(540),
    }
    write_interactions(folder / "log.parquet", Interactions.build(columns))
    ids = SemanticIDs.build(
        range(40), rng.integers(0, 4, (40, 3)), [4] * 3,
        build_manifest([4] * 3, tokenizer={"name": "mmq", "fingerprint": "5f0c"}),
    )  # fmt: skip
    ids.write(folder / "ids.parquet")
    return folder


def train(log: Path, out: Path, kind: str, **settings: Any) -> int:
    values = {**SMALL, **settings} if kind != "popularity" else settings
    told = [each for k, v in values.items() for each in ("--set", f"{k}={v}")]
    files = ["--interactions", str(log / "log.parquet"), "--out", str(out), "--model", kind]
    ids = ["--ids", str(log / "ids.parquet")] if kind == "heterrec" else []
    return main(["train", "retrieval", *files, *ids, *told])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sasrec", "heterrec"])
def test_user_vectors_are_those_of_the_model(log: Path, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("onnxruntime")
    assert train(log, tmp_path / "model", kind) == 0
    assert main(["export", "onnx", str(tmp_path / "model"), "--out", str(tmp_path / "m.onnx")]) == 0
    model = load(tmp_path / "model", "cpu")
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 9, ITEMS)
    rows = rng.integers(0, len(model.items.item_ids), (ITEMS, 8))
    (users,) = session(tmp_path / "m.onnx").run(["users"], {"rows": rows, "lengths": lengths})
    starts = np.arange(ITEMS) * 8
    expected = model.user_vectors(Sequences(rows.ravel(), starts, starts + lengths))
    np.testing.assert_allclose(users, expected.numpy(), atol=1e-5)


def test_what_has_no_graph_is_a_sentence(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        capsys.readouterr()
        assert main(["export", "onnx", *words, "--out", str(tmp_path / "m.onnx")]) == 2
        assert not (tmp_path / "m.onnx").exists()
        return capsys.readouterr().err

    assert "there is no model in" in said(str(tmp_path))
    assert train(log, tmp_path / "popular", "popularity") == 0
    assert "a popularity recommender has no user vectors" in said(str(tmp_path / "popular"))
    assert train(log, tmp_path / "beams", "heterrec", head="autoregressive") == 0
    assert "depend on each other" in said(str(tmp_path / "beams"))


def test_a_missing_extra_is_a_sentence(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(log, tmp_path / "model", "sasrec") == 0
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "onnx", str(tmp_path / "model"), "--out", str(tmp_path / "m")]) == 2
    assert "pip install 'mmq-tokenizer[onnx]'" in capsys.readouterr().err

"""``mmq fit`` under torchrun."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mmq.cli import main
from mmq.data._parquet import write_catalogue
from mmq.testing import tiny_catalogue
from mmq.tokenizers import NetworkTokenizer

SMALL = {"codebook_size": 16, "latent_dim": 8, "epochs": 3, "batch_size": 50}
OPTIONS = [each for pair in SMALL.items() for each in ("--set", "{}={}".format(*pair))]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "catalogue.parquet"
    write_catalogue(path, tiny_catalogue(200, missing=0.2))
    return path


def test_two_processes_write_one_tokenizer_and_print_once(catalogue, tmp_path):
    arguments = ["fit", catalogue, "--tokenizer", "rqvae", *OPTIONS, "--device", "cpu", "--out"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2", "-m", "mmq"]
    command = [*map(str, [*torchrun, *arguments, tmp_path / "two", "--json"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two"]
    assert main([*map(str, [*arguments, tmp_path / "one"])]) == 0
    codes = [
        NetworkTokenizer.load(tmp_path / each, device="cpu").encode(
            tiny_catalogue(200, missing=0.2)
        )
        for each in ("one", "two")
    ]
    np.testing.assert_array_equal(*codes)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [("mmq", "without torchrun, or with learning=gradient"), ("rqkmeans", "without torchrun\n")],
)
def test_what_does_not_learn_by_gradient_is_one_process(
    kind, remedy, catalogue, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["fit", str(catalogue), "--out", str(tmp_path / "t"), "--tokenizer", kind]) == 2
    assert f"{kind} is fitted by one process" in (err := capsys.readouterr().err)
    assert remedy in err
    assert not any(tmp_path.iterdir())

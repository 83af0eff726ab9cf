"""Two processes train a tokenizer as one: its codes are those of the whole batch."""

import functools

import numpy as np
import pytest

from children import found_by_two
from mmq.errors import SettingsError
from mmq.testing import tiny_catalogue
from mmq.tokenizers import MMQTokenizer, RQVAETokenizer

SMALL = {"codebook_size": 16, "epochs": 6, "batch_size": 50, "latent_dim": 8, "device": "cpu"}
MMQ = functools.partial(MMQTokenizer, **SMALL, learning="gradient")
RQVAE = functools.partial(RQVAETokenizer, **SMALL)
KINDS = {
    "mmq": MMQ,
    "mmq, averages": functools.partial(MMQ, codebook="ema", specific_experts={"image": 1}),
    "mmq, codebook loss": functools.partial(MMQ, codebook="loss", distance="l2"),
    "mmq, refined": functools.partial(MMQ, refinement=2),
    "rqvae": functools.partial(RQVAE, hidden_sizes=(12,)),
    "rqvae, averages": functools.partial(RQVAE, codebook="ema", fusion="separated"),
    "rqvae, index": functools.partial(RQVAE, codebook="index", fusion="separated"),
}


def fit(name):
    """Log, codes and weights of a fit to items of which some miss an image, few in a process."""
    made = KINDS[name]()
    made.fit(tiny_catalogue(230, missing=0.4))
    return {
        "log": [line for line in made.log if "epoch" in line],
        "codes": made.encode(tiny_catalogue(230, missing=0.4)).tolist(),
        "weights": {name: array.ravel().tolist() for name, array in made.tensors().items()},
    }


def too_small():
    """What batches of a single item, and a loss over the whole batch, are told."""
    told = []
    for made in (RQVAETokenizer(**{**SMALL, "batch_size": 1}), MMQ(orthogonality="output")):
        with pytest.raises(SettingsError) as error:
            made.fit(tiny_catalogue(60))
        told.append(str(error.value))
    return told


def found():
    """What each of the processes learned."""
    return {"fits": {name: fit(name) for name in KINDS}, "refused": too_small()}


def test_two_processes_learn_what_one_learns(tmp_path):
    one, other = found_by_two(found, tmp_path)
    assert one == other  # to the bit, or the processes would drift apart
    for name, together in one["fits"].items():
        alone = fit(name)
        assert together["codes"] == alone["codes"], name
        for weight, values in alone["weights"].items():
            np.testing.assert_allclose(
                together["weights"][weight],
                values,
                rtol=1e-2,
                atol=1e-4,
                err_msg=f"{name} {weight}",
            )
        for mine, expected in zip(together["log"], alone["log"], strict=True):
            assert mine == pytest.approx(expected, rel=1e-3)
    assert any(
        line["revived"] for line in one["fits"]["rqvae, averages"]["log"] if "revived" in line
    )
    small, whole = one["refused"]
    assert small.startswith("batches of 1 items are too small for 2 processes; raise batch_size")
    assert "correlates the items of a whole batch" in whole

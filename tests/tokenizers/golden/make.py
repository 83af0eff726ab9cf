"""Make the folders of format 1 beside this file, with the last commit that wrote that format.

    git worktree add ../old 1ed5e10
    PYTHONPATH=../old/src python tests/tokenizers/golden/make.py

Each kind's folder holds what ``save`` wrote, without its card and log; expected.npz the catalogue
(60 items, some without an image), and the codes and decoded vectors that the old code gave it.
"""

from pathlib import Path

import numpy as np

from mmq import Catalogue, MMQTokenizer
from mmq.tokenizers import OPQTokenizer, RQKMeansTokenizer, RQVAETokenizer

HERE = Path(__file__).parent
SMALL = {"codebook_size": 8, "device": "cpu"}
TRAINED = {**SMALL, "epochs": 4, "batch_size": 20, "latent_dim": 4}
MAKERS = {
    "mmq": lambda: MMQTokenizer(**TRAINED),
    "mmq_refined": lambda: MMQTokenizer(**TRAINED, refinement=2),
    "rqvae": lambda: RQVAETokenizer(**TRAINED, hidden_sizes=(5,), length=3),
    "rqvae_refined": lambda: RQVAETokenizer(**TRAINED, hidden_sizes=(), length=3, refinement=2),
    "rqkmeans_refined": lambda: RQKMeansTokenizer(
        **SMALL, length=4, fusion="separated", refinement=2
    ),
    "opq": lambda: OPQTokenizer(**SMALL, length=3),
}


def catalogue() -> Catalogue:
    rng = np.random.default_rng(20)
    themes = rng.normal(size=(6, 11))[rng.integers(6, size=60)]
    vectors = (themes + 0.5 * rng.normal(size=(60, 11)) + 0.5).astype(np.float32)
    text, image = vectors[:, :6], vectors[:, 6:]
    image[rng.random(60) < 0.2] = np.nan
    return Catalogue.build(range(60), {"text": text, "image": image})


if __name__ == "__main__":
    items = catalogue()
    arrays = {name: items.embeddings[name] for name in items.modalities}
    arrays |= {f"{name} present": items.present[name] for name in items.modalities}
    for name, make in MAKERS.items():
        tokenizer = make()
        tokenizer.fit(items)
        tokenizer.save(HERE / name)
        for left in ("README.md", "training.jsonl"):
            (HERE / name / left).unlink(missing_ok=True)
        codes = tokenizer.encode(items)
        arrays[f"{name} codes"] = codes.astype(np.uint8)
        arrays |= {f"{name} {each}": vectors for each, vectors in tokenizer.decode(codes).items()}
    np.savez_compressed(HERE / "expected.npz", **arrays)

"""Tokenizers by what their codes leave unexplained: the zoo, parts of MMQ, variants, catalogues."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from experiments.cells import Made, settings_of
from experiments.data import articles, films, films_with_cast, films_without_posters, toys
from experiments.experiment import Context, Experiment
from experiments.scikit import rqkmeans
from mmq import Catalogue
from mmq.data._datasets.toyshop import ToyshopSettings, toyshop
from mmq.encoders._toyshop import embed_toyshop
from mmq.metrics.probes import probe_table
from mmq.model import model_class
from mmq.semantic_ids import catalogue_facts, inspect_ids
from mmq.semantic_ids._verdict import verdict
from mmq.testing._zoo import ZOO
from mmq.tokenizers import FitResult, MMQTokenizer
from mmq.tokenizers._additive import choice
from mmq.tokenizers._frame import Frame

Items = Callable[[Path, int], Catalogue]
"""Makes or reads items, from the data folder and a seed."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Fit(NamedTuple):
    """A row: a tokenizer, and the items that it is fitted to.

    Attributes:
        items: them.
        kind: of tokenizer.
        settings: that are not its defaults.
        hold_out: share of the items that it is measured on and not fitted to.
        frame: whether MMQ has its frame.
        rounds: whether MMQ has its rounds of least squares.
        about: the items, in words.
    """

    items: Items
    kind: str = "mmq"
    settings: Mapping[str, Any] = NOTHING
    hold_out: float = 0.1
    frame: bool = True
    rounds: bool = True
    about: str = ""


def fitted(row: Fit, context: Context) -> Made:
    """Fit a tokenizer; errors of both parts (with gates, and of the codes alone), use of codes."""
    return _fitted(row, context)[0]


def _fitted(row: Fit, context: Context) -> tuple[Made, Any, Catalogue]:
    items = row.items(context.data, context.seed)
    tokenizer = model_class("tokenizer", row.kind)(**{**row.settings, "seed": context.seed})
    started = time.process_time()
    with _reduced(row):
        result: FitResult = tokenizer.fit(items, hold_out=row.hold_out)
    figures = {
        **{f"l_recon {part}": value for part, value in result.l_recon.items()},
        **{f"fvu {part}": value for part, value in result.fvu.items()},
        **result.fvu_codes,
        "bound": result.bound["fvu"],
        "bound_separate": result.bound["fvu_separate"],
        "entropy": result.entropy,
        "utilisation": result.utilisation,
        "distinct_share": result.distinct_share,
        "seconds": time.process_time() - started,
        "chosen": result.chosen,
        "about": row.about,
    }
    return Made(settings_of(tokenizer), figures), tokenizer, items


@contextlib.contextmanager
def _reduced(row: Fit) -> Iterator[None]:
    """Leave out what the row leaves out."""

    def as_they_come(dimensions: Any, *_: Any) -> Frame:
        return Frame(dimensions, dict(dimensions))

    with contextlib.ExitStack() as stack:
        if not row.frame:
            stack.enter_context(mock.patch.object(Frame, "fit", as_they_come))
        if not row.rounds:
            stack.enter_context(mock.patch.object(choice, "MOST_ROUNDS", 0))
            stack.enter_context(mock.patch.object(choice, "_QUICK", 0))
        yield


# --- the zoo: every tokenizer at its defaults on embeddings of many kinds ---

EPOCHS = 60
"""Of what learns by gradient: a reduced setting."""


class Member(NamedTuple):
    """Items of the zoo, and how large the codebooks are."""

    items: Items
    size: int
    about: str


def counted(data: Path, _: int) -> Catalogue:
    """TF-IDF of 2,000 words, and histograms of 64 colours; films without either left out."""
    from PIL import Image
    from sklearn.feature_extraction.text import TfidfVectorizer

    folder = data / "ml1m"
    lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    texts = [f"{line['title']} {line.get('plot') or ''}" for line in lines]
    words = TfidfVectorizer(max_features=2000, stop_words="english", sublinear_tf=True)
    text = words.fit_transform(texts).toarray().astype(np.float32)
    colours = np.full((len(lines), 64), np.nan, np.float32)
    for row, line in enumerate(lines):
        path = folder / str(line.get("image"))
        if path.is_file():
            pixels = np.asarray(Image.open(path).convert("RGB")) // 64
            places = pixels.reshape(-1, 3) @ np.array([16, 4, 1])
            colours[row] = np.bincount(places, minlength=64) / len(places)
    text[~text.any(1)] = np.nan
    keep = ~np.isnan(text).all(1) | ~np.isnan(colours).all(1)
    return Catalogue.build(np.flatnonzero(keep), {"text": text[keep], "colours": colours[keep]})


def _raw(folder: str, **files: str) -> Items:
    def load(data: Path, _: int) -> Catalogue:
        found = {name: np.load(data / folder / f"{file}.npy") for name, file in files.items()}
        return Catalogue.build(range(len(found["text"])), found)

    return load


def _generated(name: str) -> Items:
    def load(_: Path, seed: int) -> Catalogue:
        embeddings = ZOO[name].make(seed)
        return Catalogue.build(range(len(next(iter(embeddings.values())))), embeddings)

    return load


def _read(load: Callable[[Path], Catalogue]) -> Items:
    return lambda data, _: load(data)


MEMBERS = {
    "ML-1M, raw": Member(
        _raw("ml1m", text="text_minilm", image="image_effnet"),
        100, "MiniLM and EfficientNet as they come",
    ),
    "ML-1M, reduced": Member(_read(films), 100, "PCA of 256 each"),
    "Beauty, raw": Member(
        _raw("beauty", text="text_minilm"), 100, "titles, MiniLM as it comes"
    ),
    "Beauty, reduced": Member(_read(articles), 100, "PCA of 256"),
    "ML-1M, counted": Member(counted, 100, "TF-IDF of texts, colours of posters"),
    **{
        name: Member(_generated(name), each.codebook_size, each.about)
        for name, each in ZOO.items()
    },
    "toyshop": Member(
        lambda _, seed: toys(2000, 500 + seed), 64, "2,000 generated toys, light encoders"
    ),
}  # fmt: skip
FUSED = ("aligned", "separated")
TOKENIZERS = {
    "MMQ": ("mmq", ""),
    **{
        f"{name}, {fusion}": (kind, fusion)
        for name, kind in (("RQ-KMeans", "rqkmeans"), ("OPQ", "opq"), ("RQ-VAE", "rqvae"))
        for fusion in FUSED
    },
}
ZOO_ROWS = {
    f"{member} | {title}": (member, *how) for member in MEMBERS for title, how in TOKENIZERS.items()
}


def of_zoo(row: tuple[str, str, str], context: Context) -> Made:
    """A tokenizer at its defaults; IDs of six codes, of eight for three modalities."""
    name, kind, fusion = row
    member = MEMBERS[name]
    items = member.items(context.data, context.seed)
    settings: dict[str, Any] = {"codebook_size": member.size}
    if kind == "mmq":
        settings |= {"specific_experts": 4} if len(items.modalities) == 1 else {}
    else:
        settings |= {"fusion": fusion, "length": 6 if len(items.modalities) < 3 else 8}
    if kind == "rqvae":
        settings["epochs"] = EPOCHS
    return fitted(Fit(lambda *_: items, kind, settings, about=member.about), context)


# --- what each part of MMQ's default is worth: 1 frame, 2 start, 3 least squares, 4 noise ---

GRADIENT = {"learning": "gradient"}
QUIET = {"smoothing": 0.0}
PARTS: dict[str, dict[str, Any]] = {
    "by gradient": {"settings": {**GRADIENT, "epochs": EPOCHS}, "frame": False},
    "by gradient, in the frame (1)": {"settings": {**GRADIENT, "epochs": EPOCHS}},
    "by gradient, then least squares (1, 3, 4)": {
        "settings": {**GRADIENT, "epochs": EPOCHS, "refinement": 3}
    },
    "start (2)": {"settings": QUIET, "frame": False, "rounds": False},
    "start in the frame (1, 2)": {"settings": QUIET, "rounds": False},
    "without noise (1, 2, 3)": {"settings": QUIET},
    "without rounds (1, 2, 4)": {"rounds": False},
    "without the frame (2, 3, 4)": {"frame": False},
    "all (1, 2, 3, 4)": {},
}


def _part(name: str, change: Mapping[str, Any]) -> Fit:
    member = MEMBERS[name]
    settings = {"codebook_size": member.size, **change.get("settings", {})}
    return Fit(member.items, **{**change, "settings": settings})


PART_ROWS = {
    f"{name} | {title}": _part(name, change)
    for name in ("cone", "clips", "ML-1M, raw")
    for title, change in PARTS.items()
}

# --- the default beside its variants, fitted to 90% of the films and to all ---

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "by gradient": GRADIENT,
    "EMA codebooks": {**GRADIENT, "codebook": "ema"},
    "codebook loss": {**GRADIENT, "codebook": "loss"},
    "literal Eq. 14": {
        **GRADIENT, "codebook": "literal", "start": "random", "revival": False,
        "commitment_weight": 0.0,
    },
}  # fmt: skip
HELD_OUT = {"held_out": 0.1, "all": 0.0}
VARIANT_ROWS: dict[str, Fit | float] = {
    **{
        f"{name} | {part}": Fit(_read(films), settings=settings, hold_out=hold_out)
        for name, settings in VARIANTS.items()
        for part, hold_out in HELD_OUT.items()
    },
    **{f"separated RQ-KMeans | {part}": hold_out for part, hold_out in HELD_OUT.items()},
}


def variant(row: Fit | float, context: Context) -> Made:
    """A variant of MMQ, or RQ-KMeans by scikit-learn as a bar, of which the row is the hold-out."""
    if isinstance(row, Fit):
        return fitted(row, context)
    return Made({}, rqkmeans(films(context.data), context.seed, row))


# --- other kinds of catalogue ---


def inspected(row: Fit, context: Context) -> Made:
    """The same as :func:`fitted`, with the verdict of ``mmq inspect``."""
    made, tokenizer, items = _fitted(row, context)
    ids = tokenizer.ids(items)
    words = verdict(inspect_ids(ids, catalogue_facts([items])))
    told = {"length": ids.length, "verdict": words.grade, "sentences": list(words.sentences)}
    return made._replace(figures={**made.figures, **told})


CATALOGUE_ROWS = {
    "Beauty, titles only": Fit(_read(articles)),
    "Beauty, titles only, 2 + 4 experts": Fit(_read(articles), settings={"specific_experts": 4}),
    "ML-1M, text + image + cast": Fit(_read(films_with_cast)),
    "ML-1M, 20% of images missing": Fit(_read(films_without_posters)),
}

# --- toyshop: what each group of experts caught of the known factors ---

FIRST_SHOP = 101
"""Shops that the generator was not designed on."""


def probed(settings: Mapping[str, Any], context: Context) -> Made:
    """Factor -> group of experts -> accuracy of a linear probe of their codes."""
    shop = toyshop(ToyshopSettings(items=2000, seed=FIRST_SHOP + context.seed))
    items = embed_toyshop(shop)
    tokenizer = MMQTokenizer(**settings, seed=context.seed)
    tokenizer.fit(items)
    groups = dict(tokenizer.positions)
    groups["all specific"] = [*groups["text"], *groups["image"]]
    sizes = tokenizer.codebook_sizes
    codes = tokenizer.encode(items)
    table = probe_table(codes, sizes, groups, shop.factors, seed=context.seed)
    return Made(settings_of(tokenizer), table)


PROBED = {"codebook_size": 64, "shared_experts": 2}
PROBE_ROWS = {
    "clusters of all modalities": {**PROBED, "shared_start": "joint"},
    "as the data choose": PROBED,
}

EXPERIMENTS = {
    "zoo": Experiment("zoo", ZOO_ROWS, of_zoo, once=[f"large | {each}" for each in TOKENIZERS]),
    "zoo_ablation": Experiment("zoo", PART_ROWS, fitted),
    "tokenizers_ml1m": Experiment("ml1m", VARIANT_ROWS, variant),
    "catalogues": Experiment("catalogues", CATALOGUE_ROWS, inspected),
    "probes": Experiment("toyshop", PROBE_ROWS, probed, files=False),
}

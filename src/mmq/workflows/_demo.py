"""The whole path on a small generated shop, from raw items to a report and recommendations."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmq._artifacts import check_replaceable, disk_errors, made_folder, write_file
from mmq._formats import read_json, write_json
from mmq._version import __version__
from mmq.data._datasets.toyshop import FACTORS, Toyshop, ToyshopSettings, toyshop
from mmq.data._interactions import Interactions, write_interactions
from mmq.data._items import ItemColumns
from mmq.data._log import read_interactions
from mmq.encoders._embed import Embedding
from mmq.encoders._template import TextTemplate
from mmq.made_from import check_same, file_input
from mmq.metrics.probes import probe_table
from mmq.release import Parts
from mmq.reports._inspection import Inspection, inspect_table
from mmq.reports._page import WHOLE, Probes, write_report
from mmq.workflows._embed import embed
from mmq.workflows._encode import encode
from mmq.workflows._fit import fit
from mmq.workflows._recommend import ItemFilters, recommend
from mmq.workflows._release import release
from mmq.workflows._run import Run, locks_out
from mmq.workflows._train_retrieval import train_retrieval

MARKER = "demo.json"
"""The file that tells a folder of an earlier demo, which may be replaced, from other folders."""
_OWN = {
    MARKER, "items.jsonl", "pictures", "interactions.parquet", "factors.parquet",
    "catalogue.parquet", "tokenizer", "ids.parquet", "report.html", "heterrec", "popularity",
    "releases",
}  # fmt: skip
"""What a demo writes there, and replaces; what else is there stays."""

_ATTRIBUTES = ("toy", "size", "material", "maker")
"""What the shop's catalogue says of a toy beside its title: what its page can be filtered by."""
_MOST_CODES, _ITEMS_A_CODE = 64, 20
_RECOMMENDER = {
    "hidden_dim": 64, "dropout": 0.5, "token_layers": 0, "epochs": 8, "learning_rate": 0.002,
}  # fmt: skip
"""Settings of a recommender for so small a shop: narrow, and without layers over code tokens, which
30,000 purchases hardly teach."""
_MOST_SHOPPERS, _SHOPPERS_AN_ITEM = 6000, 4

Watch = Callable[[str, str, float], None]


@locks_out
def demo(
    out: str | Path,
    items: int = 1500,
    seed: int = 0,
    force: bool = False,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """What came out of a generated shop: figures, verdict, examples, recommendations.

    The folder holds everything that the other verbs read, to play on with.

    Args:
        out: the folder to write.
        items: toys in the shop.
        seed: of everything random.
        force: replace an earlier demo although it is of another shop.
        watch: is told of every step when it is done: its name, what it did, its seconds.

    Raises:
        DataError: the folder holds something else, or the disk is full.

    Example: ``demo("mmq-demo", items=200)["verdict"]["grade"]``
    """
    out = Path(out)
    check_replaceable(out, MARKER)
    inputs = {"items": items, "seed": seed}
    if (out / MARKER).is_file() and not force:
        before = read_json(out / MARKER, "demo")
        before.pop("mmq", None)
        check_same(out, "a demo", inputs, before)
    steps = _Steps(watch or (lambda *_: None))
    with disk_errors(out), made_folder(out), _emptied(out):
        write_json(out / MARKER, {"mmq": __version__, **inputs})
        shop = _Shop(out, items, seed)
        results = _tokenize(shop, steps) | _recommend(shop, steps) | _release(shop, steps)
    seconds = steps.seconds | {"all": round(sum(steps.seconds.values()), 3)}
    return {"out": str(out), "items": items, "seconds": seconds, **results}


@dataclass(frozen=True)
class _Shop:
    """What the demo is about and where its files lie."""

    out: Path
    items: int
    seed: int

    def __truediv__(self, name: str) -> Path:
        return self.out / name

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a tokenizer for so small a shop, whose shared codes name combinations."""
        size = min(_MOST_CODES, self.items // _ITEMS_A_CODE)
        return {"codebook_size": size, "shared_experts": 2, "shared_start": "joint"}

    @property
    def shoppers(self) -> int:
        """How many buy there."""
        return min(_MOST_SHOPPERS, _SHOPPERS_AN_ITEM * self.items)


@dataclass
class _Steps:
    """Keeps the seconds of every step, and tells of it."""

    watch: Watch
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, name: str, done: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)
        self.watch(name, done, self.seconds[name])


def _tokenize(shop: _Shop, steps: _Steps) -> dict[str, Any]:
    """From a generated shop to semantic IDs and what they are worth."""
    catalogue, tokenizer, run = shop / "catalogue.parquet", shop / "tokenizer", Run(seed=shop.seed)
    with steps.step("shop", f"{shop.items:,} toys, their pictures and a year of purchases"):
        toys = _write_shop(shop)
    with steps.step("embed", "texts and pictures (light encoders, PCA) -> catalogue.parquet"):
        text = TextTemplate.of_columns(("title", "description"))
        columns = ItemColumns(image="image", attributes=_ATTRIBUTES)
        source = (shop / "items.jsonl", text, columns, "light", "light")
        embed(Embedding(*source, reduce=64), catalogue)
    with (
        steps.step("fit", "the MMQ tokenizer, a tenth of the toys held out -> tokenizer"),
        _one_thread(),
    ):
        made = fit(catalogue, tokenizer, settings=shop.settings, hold_out=0.1, run=run)
        assert made is not None  # a demo is one process
        figures = made[1]
    with steps.step("encode", "a semantic ID for every toy -> ids.parquet"):
        encode(catalogue, tokenizer, shop / "ids.parquet")
    with steps.step("inspect", "figures, verdict, pictures -> report.html"):
        found = inspect_table(
            shop / "ids.parquet", catalogue=catalogue, tokenizer=tokenizer, seed=shop.seed
        )
        probes = _probes(toys, found)
        write_report(found, shop / "report.html", probes, {"ids": file_input(shop / "ids.parquet")})
    return {
        "fit": figures,
        "verdict": found.verdict._asdict(),
        "examples": [found.describe(row) for row in found.examples.items.tolist()],
        "probes": {name: dict(row) for name, row in probes.accuracy.items()},
        "report": str(shop / "report.html"),
    }


def _recommend(shop: _Shop, steps: _Steps) -> dict[str, Any]:
    """What training a recommender gave, and one shopper's recommendations."""
    log, model = shop / "interactions.parquet", shop / "heterrec"
    what = "HeterRec (semantic IDs and item tokens), popularity, item-kNN -> heterrec"
    with steps.step("train", what), _one_thread():
        ids, run = shop / "ids.parquet", Run(seed=shop.seed)
        trained = train_retrieval(log, model, ids=ids, settings=_RECOMMENDER, run=run)
    assert trained is not None, "the demo is one process"
    baselines = {name: each["test"] for name, each in trained["baselines"].items()}
    return {
        "test": {"heterrec": trained["test"], **baselines},
        "standing": trained["verdict"],
        "recommended": recommend(
            model,
            k=5,
            user=str(read_interactions(log).user_ids[0]),
            log=log,
            catalogue=shop / "catalogue.parquet",
            filters=ItemFilters(exclude_history=True),
        ),
    }


def _release(shop: _Shop, steps: _Steps) -> dict[str, Any]:
    """Where a service finds all of it."""
    parts = Parts(
        ids=shop / "ids.parquet",
        model=shop / "heterrec",
        tokenizer=shop / "tokenizer",
        catalogue=shop / "catalogue.parquet",
    )
    with steps.step("release", "all of it in one folder, for a service -> releases/demo"):
        release(parts, shop / "releases" / "demo")
    return {"releases": str(shop / "releases")}


def _write_shop(shop: _Shop) -> Toyshop:
    """Generate the shop and write items.jsonl, pictures, purchases and the truth."""
    toys = toyshop(ToyshopSettings(items=shop.items, shoppers=shop.shoppers, seed=shop.seed))
    pictures = toys.write_pictures(shop / "pictures")
    levels = {
        name: pa.array(FACTORS[name].levels).take(pa.array(column))
        for name, column in toys.factors.items()
    }
    items = toys.items
    for name in _ATTRIBUTES:
        items = items.append_column(name, levels[name])
    rows = zip(items.to_pylist(), pictures, strict=True)
    with write_file(shop / "items.jsonl") as path:
        lines = [json.dumps({**row, "image": f"pictures/{file.name}"}) for row, file in rows]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    write_interactions(shop / "interactions.parquet", Interactions.build(toys.interactions))
    with write_file(shop / "factors.parquet") as path:
        pq.write_table(pa.table({"item_id": toys.items.column("item_id"), **levels}), path)
    return toys


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices of so small a shop are too small to share out: threads would wait, not work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _probes(toys: Toyshop, found: Inspection) -> Probes:
    ids = found.ids
    rows = ids.find(toys.items.column("item_id"))
    groups = {**found.sources.groups, WHOLE: list(range(ids.length))}
    accuracy = probe_table(ids.codes[rows], ids.codebook_sizes, groups, toys.factors)
    return Probes(accuracy, {name: factor.source for name, factor in FACTORS.items()})


@contextlib.contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """Work in that folder without what an earlier demo left; that goes again if the work fails.

    It is not made elsewhere and renamed, since the catalogue keeps the paths of the pictures. What
    the user put there stays.
    """
    _empty(folder)
    try:
        yield
    except BaseException:
        _empty(folder)
        raise


def _empty(folder: Path) -> None:
    unfinished = tuple(f".{name}." for name in _OWN)
    for path in folder.iterdir():
        own = path.name.removesuffix(".partial") in _OWN or path.name.startswith(unfinished)
        if not own:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

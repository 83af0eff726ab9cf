"""``mmq demo``: the whole path on a small generated shop, from raw items to a report."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmq.cli import embed, encode, fit, recommend, train
from mmq.cli.frame import ForceOption, JsonOption, SeedOption, emit
from mmq.cli.inspect import verdict_lines

if TYPE_CHECKING:
    from mmq.data.datasets.toyshop import Toyshop
    from mmq.reports.inspection import Inspection
    from mmq.reports.page import Probes

MARKER = "demo.json"
"""The file that tells a folder of an earlier demo, which may be replaced, from other folders."""
_OWN = {
    MARKER, "items.jsonl", "pictures", "interactions.parquet", "factors.parquet",
    "catalogue.parquet", "tokenizer", "ids.parquet", "report.html", "heterrec", "popularity",
}  # fmt: skip
"""What a demo writes there, and replaces; what else is there stays."""

_MOST_CODES, _ITEMS_A_CODE = 64, 20
_RECOMMENDER = ["hidden_dim=64", "dropout=0.5", "token_layers=0", "epochs=8", "learning_rate=0.002"]
"""Settings of a recommender for so small a shop: narrow, and without layers over code tokens, which
13,000 purchases do not teach."""
_MOST_SHOPPERS, _SHOPPERS_AN_ITEM = 5000, 2


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("mmq-demo"),
    items: Annotated[
        int, typer.Option("--items", min=200, max=20_000, help="Toys in the shop.")
    ] = 1500,
    seed: SeedOption = 0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Generate a shop, embed it, fit a tokenizer, encode every item, train a recommender.

    A report says what the semantic IDs are worth.

    The folder holds everything that the other verbs read, to play on with.

    Example: mmq demo --out mmq-demo
    """
    from mmq import __version__
    from mmq.artifacts import check_replaceable, disk_errors, made_folder
    from mmq.formats import read_json, write_json
    from mmq.replacing import check_same

    check_replaceable(out, MARKER)
    inputs = {"items": items, "seed": seed}
    if (out / MARKER).is_file() and not force:
        before = read_json(out / MARKER, "demo")
        before.pop("mmq", None)
        check_same(out, "a demo", inputs, before)
    steps = _Steps(quiet=as_json)
    with disk_errors(out), made_folder(out), _emptied(out):
        write_json(out / MARKER, {"mmq": __version__, **inputs})
        shop = _Shop(out, items, seed)
        found, probes, figures = _run(shop, steps)
        trained, advice = _recommend(shop, steps)
    result = {
        "out": str(out),
        "items": items,
        "seconds": steps.seconds | {"all": round(sum(steps.seconds.values()), 3)},
        "fit": figures,
        "verdict": found.verdict._asdict(),
        "examples": [found.describe(row) for row in found.examples.items.tolist()],
        "probes": {name: dict(row) for name, row in probes.accuracy.items()},
        "report": str(out / "report.html"),
        "test": {
            "heterrec": trained["test"],
            **{name: each["test"] for name, each in trained["baselines"].items()},
        },
        "standing": trained["verdict"],
        "recommended": advice,
    }
    emit(result, as_json, _lines(result, found, probes))


@dataclass(frozen=True)
class _Shop:
    """What the demo is about and where its files lie."""

    out: Path
    items: int
    seed: int

    def __truediv__(self, name: str) -> Path:
        return self.out / name

    @property
    def settings(self) -> list[str]:
        """Settings of a tokenizer for so small a shop, whose shared codes name combinations."""
        size = min(_MOST_CODES, self.items // _ITEMS_A_CODE)
        return [f"codebook_size={size}", "shared_experts=2", "shared_start=joint"]

    @property
    def shoppers(self) -> int:
        """How many buy there."""
        return min(_MOST_SHOPPERS, _SHOPPERS_AN_ITEM * self.items)


@dataclass
class _Steps:
    """Prints a line a step and keeps the seconds."""

    quiet: bool
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, name: str, done: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)
        if not self.quiet:
            emit({}, False, [f"{name:<8} {done:<64} {self.seconds[name]:6.1f} s"])


def _run(shop: _Shop, steps: _Steps) -> tuple[Inspection, Probes, dict[str, Any]]:
    """Every step in turn; each verb does what it does on the command line."""
    from mmq.replacing import file_input
    from mmq.reports.inspection import inspect_table
    from mmq.reports.page import write_report

    with steps.step("shop", f"{shop.items:,} toys, their pictures and a year of purchases"):
        toys = _write_shop(shop)
    with steps.step("embed", "texts and pictures (light encoders, PCA) -> catalogue.parquet"):
        _figures(
            embed.command,
            shop / "items.jsonl",
            shop / "catalogue.parquet",
            text_columns="title,description",
            image_column="image",
            text_encoder="light",
            image_encoder="light",
            reduce=64,
        )
    with (
        steps.step("fit", "the MMQ tokenizer, a tenth of the toys held out -> tokenizer"),
        _one_thread(),
    ):
        figures = _figures(
            fit.command,
            shop / "catalogue.parquet",
            shop / "tokenizer",
            hold_out=0.1,
            seed=shop.seed,
            settings=shop.settings,
        )
    with steps.step("encode", "a semantic ID for every toy -> ids.parquet"):
        _figures(
            encode.command, shop / "catalogue.parquet", shop / "tokenizer", shop / "ids.parquet"
        )
    with steps.step("inspect", "figures, verdict, pictures -> report.html"):
        found = inspect_table(
            shop / "ids.parquet",
            catalogue=shop / "catalogue.parquet",
            tokenizer=shop / "tokenizer",
            seed=shop.seed,
        )
        probes = _probes(toys, found)
        write_report(found, shop / "report.html", probes, {"ids": file_input(shop / "ids.parquet")})
    return found, probes, figures


def _recommend(shop: _Shop, steps: _Steps) -> tuple[dict[str, Any], dict[str, Any]]:
    """What training a recommender gave, and one shopper's recommendations."""
    from mmq.data.interactions import read_interactions

    log = shop / "interactions.parquet"
    what = "HeterRec (semantic IDs and item tokens), popularity, item-kNN -> heterrec"
    with steps.step("train", what), _one_thread():
        trained = _figures(
            train.retrieval,
            log,
            shop / "heterrec",
            kind="heterrec",
            ids=shop / "ids.parquet",
            seed=shop.seed,
            settings=_RECOMMENDER,
        )
    advice = _figures(
        recommend.command,
        shop / "heterrec",
        user=str(read_interactions(log).user_ids[0]),
        interactions=log,
        catalogue=shop / "catalogue.parquet",
        k=5,
        exclude_history=True,
    )
    return trained, advice


def _write_shop(shop: _Shop) -> Toyshop:
    """Generate the shop and write items.jsonl, pictures, purchases and the truth."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mmq.artifacts import write_file
    from mmq.data.datasets.toyshop import FACTORS, ToyshopSettings, toyshop
    from mmq.data.interactions import Interactions, write_interactions

    toys = toyshop(ToyshopSettings(items=shop.items, shoppers=shop.shoppers, seed=shop.seed))
    pictures = toys.write_pictures(shop / "pictures")
    rows = zip(toys.items.to_pylist(), pictures, strict=True)
    with write_file(shop / "items.jsonl") as path:
        lines = [json.dumps({**row, "image": f"pictures/{file.name}"}) for row, file in rows]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    write_interactions(shop / "interactions.parquet", Interactions.build(toys.interactions))
    levels = {
        name: pa.array(FACTORS[name].levels).take(pa.array(column))
        for name, column in toys.factors.items()
    }
    with write_file(shop / "factors.parquet") as path:
        pq.write_table(pa.table({"item_id": toys.items.column("item_id"), **levels}), path)
    return toys


def _figures(verb: Callable[..., None], *arguments: Any, **options: Any) -> dict[str, Any]:
    """Run a verb as the command line does and give back what it prints with ``--json``."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        verb(*arguments, **options, as_json=True)
    result: dict[str, Any] = json.loads(printed.getvalue())
    return result


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices of so small a shop are too small to share out: threads would wait, not work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _probes(toys: Toyshop, found: Inspection) -> Probes:
    from mmq.data.datasets.toyshop import FACTORS
    from mmq.metrics.probes import probe_table
    from mmq.reports.page import WHOLE, Probes

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


def _lines(result: Mapping[str, Any], found: Inspection, probes: Probes) -> Iterator[str]:
    yield f"{'':<8} {'all':<64} {result['seconds']['all']:6.1f} s"
    yield ""
    yield "three toys and their semantic IDs"
    for toy in result["examples"]:
        codes = " ".join(f"{code:>3}" for code in toy["semantic_id"])
        yield f"  {toy['title']:<60} {codes}"
    yield ""
    yield from verdict_lines(found)
    yield ""
    yield "what the codes tell of the truth (accuracy of a linear probe on toys it has not seen)"
    yield from _probe_lines(probes)
    yield ""
    yield from _advice_lines(result)
    yield ""
    yield f"look at {result['report']} in a browser; then try"
    out = result["out"]
    yield f"  mmq inspect {out}/ids.parquet --catalogue {out}/catalogue.parquet --item 7"
    yield f"  mmq fit {out}/catalogue.parquet --out another --set codebook_size=32"
    yield f"  mmq recommend {out}/heterrec --history 7,8 --catalogue {out}/catalogue.parquet"
    yield "  mmq embed --help        for items of your own"


def _advice_lines(result: Mapping[str, Any]) -> Iterator[str]:
    recall = {kind: test["history_left_out"]["recall@10"] for kind, test in result["test"].items()}
    yield (
        f"the next purchase is among the ten recommended for {recall['heterrec']:.1%} of the "
        f"shoppers (item-kNN: {recall['item-knn']:.1%}, the ten bestsellers: "
        f"{recall['popularity']:.1%}; what they own is left out)"
    )
    yield from (f"  {each}" for each in result["standing"])
    advice = result["recommended"]
    yield "what one of them bought last, and what is recommended"
    yield from (f"  bought       {item['title']}" for item in advice["history"][-3:])
    yield from (f"  recommended  {item['title']}" for item in advice["recommendations"])


def _probe_lines(probes: Probes) -> Iterator[str]:
    columns = list(next(iter(probes.accuracy.values())))
    yield f"  {'factor':<12}{'told by':<10}" + "".join(f"{name:>10}" for name in columns)
    for factor, row in probes.accuracy.items():
        figures = "".join(f"{row[name]:>10.2f}" for name in columns)
        yield f"  {factor:<12}{probes.told_by[factor]:<10}{figures}"

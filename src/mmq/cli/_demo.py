"""``mmq demo``: the whole path on a small generated shop, from raw items to a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmq.cli import _options as opt
from mmq.cli import _serve
from mmq.cli._frame import emit
from mmq.cli._inspect import verdict_lines


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("mmq-demo"),
    items: Annotated[
        int, typer.Option("--items", min=200, max=20_000, help="Toys in the shop.")
    ] = 1500,
    seed: opt.Seed = 0,
    force: opt.Force = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve its page afterwards, until interrupted.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Generate a shop, embed it, fit a tokenizer, encode every item, train a recommender.

    A report says what the semantic IDs are worth.

    The folder holds everything that the other verbs read, to play on with.

    Example: mmq demo --out mmq-demo
    """
    from mmq.workflows import demo

    if serve:
        import mmq.serve  # noqa: F401  (a missing extra is told before the work)
    result = demo(out, items, seed, force, None if as_json else _step)
    emit(result, as_json, _lines(result))
    if serve:
        _serve.command(Path(result["releases"]))


def _step(name: str, done: str, seconds: float) -> None:
    emit({}, False, [f"{name:<8} {done:<64} {seconds:6.1f} s"])


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'':<8} {'all':<64} {result['seconds']['all']:6.1f} s"
    yield ""
    yield "three toys and their semantic IDs"
    for toy in result["examples"]:
        codes = " ".join(f"{code:>3}" for code in toy["semantic_id"])
        yield f"  {toy['title']:<60} {codes}"
    yield ""
    yield from verdict_lines(result["verdict"])
    yield ""
    yield "what the codes tell of the truth (accuracy of a linear probe on toys it has not seen)"
    yield from _probe_lines(result["probes"])
    yield ""
    yield from _advice_lines(result)
    yield ""
    yield f"look at {result['report']} in a browser; then try"
    out = result["out"]
    yield f"  mmq serve {result['releases']}        and open http://127.0.0.1:8000/"
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
    titles = {item["item_id"]: item["title"] for item in advice["history"]}
    yield "what one of them bought last, and what is recommended, most because of what"
    yield from (f"  bought       {item['title']}" for item in advice["history"][-3:])
    for item in advice["recommendations"]:
        yield f"  recommended  {item['title']}"
        yield f"               because of {titles[item['closest_history_item']]}"


def _probe_lines(probes: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    from mmq.data._datasets.toyshop import FACTORS

    columns = list(next(iter(probes.values())))
    yield f"  {'factor':<12}{'told by':<10}" + "".join(f"{name:>10}" for name in columns)
    for factor, row in probes.items():
        figures = "".join(f"{row[name]:>10.2f}" for name in columns)
        yield f"  {factor:<12}{FACTORS[factor].source:<10}{figures}"

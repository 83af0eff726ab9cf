"""``mmq inspect``: is an ID table any good, and what do its codes mean?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit


def command(
    ids: Annotated[Path, typer.Argument(help="The ID table (Parquet).", show_default=False)],
    catalogue: Annotated[
        Path | None,
        typer.Option("--catalogue", help="Its catalogue: titles, pictures, a sharper verdict."),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", help="Its tokenizer: what each code is about and keeps."),
    ] = None,
    item: Annotated[
        str | None, typer.Option("--item", help="Look at one item and its nearest neighbours.")
    ] = None,
    code: Annotated[
        str | None,
        typer.Option("--code", help="Look at one code, POSITION=CODE: what its items share."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="An older table: what changed since.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write all of it as one HTML file.")
    ] = None,
    force: opt.Force = False,
    seed: opt.Seed = 0,
    as_json: opt.Json = False,
) -> None:
    """Judge an ID table: a verdict in words, its figures, and on request a report to look at.

    Example: mmq inspect ids.parquet --catalogue catalogue.parquet --tokenizer tokenizer
    --report report.html
    """
    from mmq.workflows import inspect

    found = inspect(
        ids,
        catalogue=catalogue,
        tokenizer=tokenizer,
        item=item,
        code=code,
        against=against,
        report=report,
        force=force,
        seed=seed,
    )
    result = found.to_dict() | ({"report": str(report)} if report is not None else {})
    emit(result, as_json, _lines(result))


def _lines(result: Mapping[str, Any]) -> Iterable[str]:
    yield from verdict_lines(result["verdict"])
    yield from (f"warning: {warning}" for warning in result["warnings"])
    yield from _figures(result)
    if "drift" in result:
        yield from _drift(result["drift"])
    if "item" in result:
        yield from _item(result["item"])
    if "code" in result:
        yield from _code(result["code"])
    if "report" in result:
        yield f"report -> {result['report']}"


def verdict_lines(verdict: Mapping[str, Any]) -> list[str]:
    """The sentences of the verdict, the grade before the first."""
    grade, sentences = verdict["grade"], verdict["sentences"]
    first = sentences[0].removeprefix(f"{grade}: ")
    return [f"{grade}: {first}", *(f"  {sentence}" for sentence in sentences[1:])]


def _figures(result: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"  {result['items']:,} items, IDs of {result['length']} codes, "
        f"{_sizes(result['codebook_size'])} codes a codebook"
    )
    yield (
        f"  codes: entropy {result['entropy']:.3f} nats, utilisation {result['utilisation']:.3f}, "
        f"Gini {result['gini']:.3f}"
    )
    yield (
        f"  IDs: {result['distinct_share']:.4f} distinct, {result['colliding_items']:,} items "
        f"collide, the fullest ID has {result['largest_bucket']:,}"
    )
    if "catalogue" in result:
        missing = [
            f"{share:.2%} lack {name}" for name, share in result["catalogue"]["missing"].items()
        ]
        yield (
            f"  catalogue: {result['catalogue']['duplicates']:,} items are duplicates, "
            + ", ".join(missing)
        )
    if result["fit"]:
        yield f"  variance unexplained by the codes alone: {_fit(result['fit'])}"
    for part, figures in result.get("fvu_by_modality", {}).items():
        each = ", ".join(f"{modality} {fvu:.3f}" for modality, fvu in figures.items())
        yield f"  variance unexplained, {part.replace('_', ' ')}: {each}"


def _fit(fit: Mapping[str, Any]) -> str:
    parts = [
        f"{part.replace('_', ' ')} {fvu:.3f}"
        for part, fvu in [
            *fit["fvu_codes"].items(),
            ("Gaussian bound", fit["bound"]),
            ("an ideal code of pure noise", fit["noise"]),
        ]
        if fvu is not None
    ]
    return ", ".join(parts)


def _sizes(size: int | list[int]) -> str:
    return f"{size:,}" if isinstance(size, int) else " / ".join(f"{each:,}" for each in size)


def _drift(drift: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"  since the older table: {drift['common']:,} items in both, {drift['only_new']:,} new, "
        f"{drift['only_old']:,} gone"
    )
    if drift["caveat"]:
        yield f"    {drift['caveat']}"
    if drift["comparable"]:
        positions = ", ".join(f"{share:.2%}" for share in drift["changed_positions"])
        yield f"    {drift['changed']:.2%} changed their ID (by position: {positions})"
    yield (
        f"    {drift['regrouped']:.2%} share their ID with others than before ({drift['apart']:,} "
        f"pairs parted, {drift['together']:,} met)"
    )


def _item(item: Mapping[str, Any]) -> Iterable[str]:
    yield f"item {_named(item)}: {tuple(item['semantic_id'])}, rank {item['rank']}"
    others = [other for other in item["same_id"] if other["item_id"] != item["item_id"]]
    if others:
        yield f"  {item['same_id_items'] - 1:,} other items have this ID:"
        yield from (f"    rank {other['rank']}: {_named(other)}" for other in others)
    else:
        yield "  no other item has this ID"
    yield "  nearest by shared codes:" if item["neighbours"] else "  no item shares a code with it"
    for near in item["neighbours"]:
        yield (
            f"    {near['shared_codes']} of {len(item['semantic_id'])}: {_named(near)} "
            f"{tuple(near['semantic_id'])}"
        )
    if "similar" in item:
        yield "  most similar by what the IDs decode to:"
        yield from (f"    cosine {near['cosine']:.3f}: {_named(near)}" for near in item["similar"])


def _code(code: Mapping[str, Any]) -> Iterable[str]:
    yield f"code {code['code']} of position {code['position']} ({code['group']}): " + (
        f"{code['items']:,} items"
    )
    for word in code["words"]:
        yield (
            f"  {word['column']} {word['value']}: {word['share']:.0%} of them, "
            f"{word['share_of_all']:.0%} of all items"
        )
    if not code["words"]:
        yield "  nothing that the catalogue says of them tells them from the others"
    yield from (f"    {_named(each)}" for each in code["examples"])


def _named(item: Mapping[str, Any]) -> str:
    return f"{item['item_id']} {item['title']}" if "title" in item else f"{item['item_id']}"

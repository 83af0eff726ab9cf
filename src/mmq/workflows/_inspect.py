"""Is an ID table any good, and what do its codes mean?"""

from __future__ import annotations

from pathlib import Path

from mmq.made_from import file_input
from mmq.reports._inspection import Inspection, inspect_table
from mmq.reports._page import check_report, write_report


def inspect(
    ids: str | Path,
    *,
    catalogue: str | Path | None = None,
    tokenizer: str | Path | None = None,
    item: str | None = None,
    code: str | None = None,
    against: str | Path | None = None,
    report: str | Path | None = None,
    force: bool = False,
    seed: int = 0,
) -> Inspection:
    """What an ID table is worth: a verdict in words and its figures.

    Args:
        ids: the table.
        catalogue: titles, pictures, a sharper verdict.
        tokenizer: what each code is about and keeps.
        item: id of one item to look at; with the tokenizer, similar items are those whose IDs
            decode alike.
        code: one code to look at, as ``POSITION=CODE``; with the catalogue, what its items have in
            common, in words.
        against: an older table: what changed since.
        report: write all of it as one HTML file.
        force: replace a report of another table.
        seed: of the items that the report shows.

    Raises:
        DataError: a file or the item is missing, or the catalogue is another one.
        FormatError: a file is damaged, or the tokenizer is another one.

    Example: ``inspect("ids.parquet").verdict.grade``
    """
    catalogue, tokenizer, against, report = (
        None if each is None else Path(each) for each in (catalogue, tokenizer, against, report)
    )
    if report is not None:
        inputs = {"ids": file_input(ids)}
        check_report(report, inputs, force)
    found = inspect_table(
        Path(ids),
        catalogue=catalogue,
        tokenizer=tokenizer,
        against=against,
        item=item,
        code=code,
        seed=seed,
    )
    if report is not None:
        write_report(found, report, inputs=inputs)
    return found

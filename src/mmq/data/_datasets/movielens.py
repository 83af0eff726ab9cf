"""MovieLens in its public layouts: ml-100k, ml-1m and ml-10m (``.dat``), ml-20m and later (CSV)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from mmq._artifacts import require_file
from mmq.data._delimited import read_csv
from mmq.data._importers import Imported
from mmq.data._interactions import Interactions
from mmq.data._item_ids import as_numbers
from mmq.errors import DataError, FormatError
from mmq.made_from import file_input

_GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_LAYOUTS = (
    ("ml-1m", "movies.dat", "ratings.dat"),
    ("ml-latest", "movies.csv", "ratings.csv"),
    ("ml-100k", "u.item", "u.data"),
)
"""Name of a layout, its file of films and its file of ratings."""
_NO_GENRES = "(no genres listed)"


class _Movies(NamedTuple):
    ids: list[int]
    titles: list[str]
    genres: list[str]


class MovieLensFiles(NamedTuple):
    """The two files of a data set, and the layout that they are in."""

    layout: str
    films: Path
    ratings: Path

    def inputs(self) -> dict[str, Any]:
        """What they hold; see :mod:`mmq.made_from`."""
        return {"films": file_input(self.films), "ratings": file_input(self.ratings)}


def find_files(folder: str | Path) -> MovieLensFiles:
    """The files of a folder.

    Raises:
        DataError: the folder is of no layout that is known.
    """
    folder = Path(folder)
    for layout, films, ratings in _LAYOUTS:
        if (folder / films).is_file():
            rated = require_file(folder / ratings, "ratings file")
            return MovieLensFiles(layout, folder / films, rated)
    raise DataError(
        f"{folder} is not a MovieLens folder: it has none of movies.dat, movies.csv, u.item; "
        "give the folder that the downloaded archive unpacks to"
    )


def read_movielens(folder: str | Path) -> Imported:
    """A MovieLens data set: its films and all its ratings.

    Items have ``item_id``, ``title`` (with its year, as distributed), ``genres`` (a list,
    null where there is none) and ``year`` (int64, null where the title names none).

    Source: https://grouplens.org/datasets/movielens/

    Raises:
        DataError: the folder is of no layout that is known.
        FormatError: a file is truncated or damaged; the message names the line.
    """
    files = find_files(folder)
    if files.layout == "ml-1m":
        movies, separator = _movies_dat(files.films), "::"
    elif files.layout == "ml-latest":
        movies, separator = _movies_csv(files.films), ","
    else:
        movies, separator = _movies_100k(files.films), "\t"
    ratings = _ratings(files.ratings, separator)
    return Imported(files.layout, _items(movies), Interactions.build(ratings))


def _items(movies: _Movies) -> pa.Table:
    titles = pa.array(movies.titles, pa.string())
    year = pc.struct_field(pc.extract_regex(titles, r"\((?P<year>\d{4})\)\s*$"), "year")
    genres = pa.array(movies.genres, pa.string())
    none = pc.is_in(genres, pa.array([_NO_GENRES, "", None]))
    genres = pc.split_pattern(pc.if_else(none, pa.scalar(None, pa.string()), genres), "|")
    ids = pa.array(movies.ids, pa.int64())
    return pa.table(
        {"item_id": ids, "title": titles, "genres": genres, "year": year.cast(pa.int64())}
    )


def _movies_dat(path: Path) -> _Movies:
    """``id::title::genre|genre``; Latin-1 in ml-1m, UTF-8 in ml-10m."""
    return _rows(path, "::", 3, lambda fields: fields[2])


def _movies_100k(path: Path) -> _Movies:
    """``id|title|date|video date|address|`` and a 0 or 1 for each of 19 genres."""

    def genres(fields: list[str]) -> str:
        flags = zip(_GENRES_100K[1:], fields[6:], strict=True)
        return "|".join(genre for genre, flag in flags if flag == "1")

    return _rows(path, "|", 5 + len(_GENRES_100K), genres)


def _rows(path: Path, separator: str, width: int, genres: Callable[[list[str]], str]) -> _Movies:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    movies = _Movies([], [], [])
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.rstrip("\r").split(separator)
        if not line.strip():
            continue
        if len(fields) != width or not fields[0].isdecimal():
            raise FormatError(
                f"{path} line {number} is not a film ({width} values separated by "
                f"'{separator}', the first a number); the file is truncated or damaged there"
            )
        movies.ids.append(int(fields[0]))
        movies.titles.append(fields[1])
        movies.genres.append(genres(fields))
    return movies


def _movies_csv(path: Path) -> _Movies:
    table = read_csv(path, ("movieId", "title", "genres"))
    for name in ("movieId", "title", "genres"):
        if name not in table.column_names:
            raise DataError(f"{path} has no column '{name}'; is it a MovieLens file?")
    ids = as_numbers(table.column("movieId"))
    if not pa.types.is_integer(ids.type):
        raise FormatError(f"{path} has a movieId that is no number; the file is damaged")
    return _Movies(
        ids.to_pylist(), table.column("title").to_pylist(), table.column("genres").to_pylist()
    )


def _ratings(path: Path, separator: str) -> pa.Table:
    """``user, item, rating, timestamp`` lines; the CSV layout has a header."""
    names = ["user_id", "item_id", "rating", "timestamp"]
    columns = names
    if separator == "::":  # Arrow splits at one character: every other column is empty
        columns = ["user_id", "_1", "item_id", "_2", "rating", "_3", "timestamp"]
    types = dict.fromkeys(names, pa.int64()) | {"rating": pa.float64()}
    try:
        return pcsv.read_csv(
            path,
            pcsv.ReadOptions(column_names=columns, skip_rows=1 if separator == "," else 0),
            pcsv.ParseOptions(delimiter=separator[0], quote_char=False),
            pcsv.ConvertOptions(column_types=types, include_columns=names),
        )
    except pa.ArrowInvalid as error:
        raise _rating_error(path, separator, error) from error


def _rating_error(path: Path, separator: str, error: Exception) -> FormatError:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            fields = line.split(separator)
            header = number == 1 and separator == ","
            if line.strip() and not header and not _is_rating(fields):
                return FormatError(
                    f"{path} line {number} is not a rating (user, item, rating, time separated by "
                    f"{separator!r}); the file is truncated or damaged there"
                )
    return FormatError(f"{path} cannot be read ({str(error).splitlines()[0]}); download it again")


def _is_rating(fields: list[str]) -> bool:
    try:
        [float(field) for field in fields]
    except ValueError:
        return False
    return len(fields) == 4

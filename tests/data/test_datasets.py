from __future__ import annotations

import datetime
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq.data import Catalogue, write_catalogue
from mmq.data._datasets.amazon import find_files, read_amazon
from mmq.data._datasets.movielens import read_movielens
from mmq.data._datasets.recbole import read_recbole
from mmq.data._importers import Imported, embedded, select_core, write_import
from mmq.data._interactions import Interactions
from mmq.data._log import read_interactions
from mmq.errors import DataError, FormatError, SettingsError


def moment(seconds):
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)


FILMS = [
    {"item_id": 1, "title": "Café Noir (1995)", "genres": ["Comedy", "Drama"], "year": 1995},
    {"item_id": 2, "title": "Untitled", "genres": None, "year": None},
]
RATINGS = [
    {"user_id": 1, "item_id": 2, "timestamp": moment(978300760), "rating": 5.0},
    {"user_id": 6040, "item_id": 1, "timestamp": moment(956715569), "rating": 3.0},
]


def ml_1m(folder):
    (folder / "movies.dat").write_bytes(
        "1::Café Noir (1995)::Comedy|Drama\n2::Untitled::\n".encode("latin-1")
    )
    (folder / "ratings.dat").write_text("1::2::5::978300760\n6040::1::3::956715569\n")


def ml_latest(folder):
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n1,Café Noir (1995),Comedy|Drama\n2,Untitled,(no genres listed)\n",
        encoding="utf-8",
    )
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,2,5.0,978300760\n6040,1,3.0,956715569\n"
    )


def ml_100k(folder):
    def flags(*on):
        return "|".join("1" if genre in on else "0" for genre in range(19))

    (folder / "u.item").write_bytes(
        (
            f"1|Café Noir (1995)|01-Jan-1995||http://x|{flags(5, 8)}\n2|Untitled||||{flags(0)}\n"
        ).encode("latin-1")
    )
    (folder / "u.data").write_text("1\t2\t5\t978300760\n6040\t1\t3\t956715569\n")


@pytest.mark.parametrize(
    ("write", "layout"), [(ml_1m, "ml-1m"), (ml_latest, "ml-latest"), (ml_100k, "ml-100k")]
)
def test_movielens_layouts(tmp_path, write, layout):
    write(tmp_path)
    imported = read_movielens(tmp_path)
    assert imported.layout == layout
    assert imported.items.to_pylist() == FILMS
    assert imported.interactions.table.to_pylist() == RATINGS


@pytest.mark.parametrize(
    ("write", "file", "text", "message"),
    [
        (ml_1m, "ratings.dat", "1::2::5::97\n6040::1", "line 2 is not a rating"),
        (ml_1m, "movies.dat", "1::A::B\n2::Unt", "line 2 is not a film"),
        (ml_latest, "ratings.csv", "a,b,c,d\n1,2,5,9\n1,2,x,9\n", "line 3 is not a rating"),
        (ml_latest, "movies.csv", 'movieId,title,genres\n1,"A', "line 2"),
        (ml_100k, "u.item", "1|A|01-Jan-1995|", "line 1 is not a film"),
    ],
)
def test_damaged_movielens_names_the_line(tmp_path, write, file, text, message):
    write(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(FormatError, match=f"{file}.*{message}"):
        read_movielens(tmp_path)


def test_folders_that_are_not_movielens(tmp_path):
    with pytest.raises(DataError, match="not a MovieLens folder"):
        read_movielens(tmp_path)
    ml_1m(tmp_path)
    (tmp_path / "ratings.dat").unlink()
    with pytest.raises(DataError, match="there is no ratings file"):
        read_movielens(tmp_path)


def lines(path, rows, dump=json.dumps):
    data = "".join(dump(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def amazon_2014(folder):
    review = {"reviewerID": "U1", "asin": "0001", "helpful": [0, 0], "overall": 5.0,
              "reviewText": "it's \"good\"", "unixReviewTime": 1369699200,
              "reviewTime": "05 28, 2013"}  # fmt: skip
    lines(folder / "reviews_Beauty_5.json.gz", [review, {**review, "asin": "B2", "overall": 1.0}])
    meta = {"asin": "0001", "title": "Soap &amp; Water", "price": 9.5, "brand": "Clean",
            "imUrl": "http://x/1.jpg", "categories": [["Beauty", "Bath"], ["Beauty", "Gifts"]],
            "description": "It's soap", "related": {"also_bought": ["B9"]}}  # fmt: skip
    lines(folder / "meta_Beauty.json.gz", [meta, {"asin": "B9", "title": "Nobody's"}], repr)


def amazon_2018(folder):
    review = {"overall": 5, "verified": True, "reviewerID": "U1", "asin": "0001",
              "style": {"Size:": " 1 oz"}, "unixReviewTime": 1369699200}  # fmt: skip
    lines(folder / "All_Beauty.json", [review, {**review, "asin": "B2", "overall": 1.0}])
    meta = {"asin": "0001", "title": "Soap & Water", "category": ["Beauty", "Bath", "Gifts"],
            "description": ["It's soap", ""], "brand": "Clean", "price": "$9.50",
            "imageURL": ["http://x/small.jpg"],
            "imageURLHighRes": ["http://x/1.jpg", "http://x/2.jpg"]}  # fmt: skip
    lines(folder / "meta_All_Beauty.json", [meta, meta])


def amazon_2023(folder):
    review = {"rating": 5.0, "title": "Nice", "text": "...", "images": [], "asin": "V7",
              "parent_asin": "0001", "user_id": "U1", "timestamp": 1369699200123,
              "helpful_vote": 0, "verified_purchase": True}  # fmt: skip
    lines(folder / "All_Beauty.jsonl.gz", [review, {**review, "parent_asin": "B2", "rating": 1}])
    meta = {"main_category": "Beauty", "title": "Soap & Water", "average_rating": 4.5,
            "description": ["It's soap"], "price": None, "store": "Clean",
            "images": [{"thumb": "t", "large": "l", "variant": "MAIN", "hi_res": "http://x/1.jpg"}],
            "categories": ["Beauty", "Bath", "Gifts"], "parent_asin": "0001"}  # fmt: skip
    lines(folder / "meta_All_Beauty.jsonl.gz", [meta])


@pytest.mark.parametrize("write", [amazon_2014, amazon_2018, amazon_2023])
def test_amazon_layouts(tmp_path, write):
    write(tmp_path)
    imported = select_core(read_amazon(tmp_path), None)
    assert imported.layout == ("amazon-2023" if write is amazon_2023 else "amazon-2014/2018")
    assert imported.items.to_pylist() == [
        {
            "item_id": "0001",
            "title": "Soap & Water",
            "brand": "Clean",
            "categories": ["Beauty", "Bath", "Gifts"],
            "description": "It's soap",
            "image_url": "http://x/1.jpg",
        },
        {"item_id": "B2", "title": None, "brand": None, "categories": None, "description": None,
         "image_url": None},
    ]  # fmt: skip
    when = moment(1369699200 + (0.123 if write is amazon_2023 else 0))
    assert imported.interactions.table.to_pylist() == [
        {"user_id": "U1", "item_id": item, "timestamp": when, "rating": rating}
        for item, rating in (("0001", 5.0), ("B2", 1.0))
    ]


def test_reviews_that_are_python_literals(tmp_path):
    amazon_2014(tmp_path)
    review = {"reviewerID": "U1", "asin": "0001", "overall": 2.0, "unixReviewTime": 7, "x": None}
    lines(tmp_path / "reviews_Beauty_5.json.gz", [review], repr)
    assert read_amazon(tmp_path).interactions.table.to_pylist() == [
        {"user_id": "U1", "item_id": "0001", "timestamp": moment(7), "rating": 2.0}
    ]


def test_which_amazon_files_belong_together(tmp_path):
    amazon_2014(tmp_path)
    five = tmp_path / "reviews_Beauty_5.json.gz"
    all_reviews = tmp_path / "reviews_Beauty.json.gz"
    all_reviews.write_bytes(five.read_bytes())
    with pytest.raises(DataError, match=r"several review files \(reviews_Beauty.json.gz, "):
        find_files(tmp_path)
    (tmp_path / "meta_Toys.json.gz").write_bytes(b"")
    assert find_files(five) == (five, tmp_path / "meta_Beauty.json.gz")
    (tmp_path / "meta_Beauty.json.gz").rename(tmp_path / "meta_Baby.json.gz")
    with pytest.raises(DataError, match="no meta_Beauty for"):
        find_files(all_reviews)
    for file in tmp_path.glob("meta_*"):
        file.unlink()
    with pytest.raises(DataError, match="no meta_"):
        find_files(five)


def test_paths_that_are_no_amazon_reviews(tmp_path):
    amazon_2014(tmp_path)
    with pytest.raises(DataError, match=r"no file or folder .*Toys_5\.json"):
        find_files(tmp_path / "Toys_5.json")
    (tmp_path / "reviews.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"reviews\.csv is no file of reviews"):
        find_files(tmp_path / "reviews.csv")
    (tmp_path / "meta_Beauty.json.gz").unlink()
    lines(tmp_path / "meta_Beauty.json", [{"asin": ["0001"], "title": "T"}, {"asin": "other"}])
    with pytest.raises(DataError, match="knows none of the items of the reviews"):
        read_amazon(tmp_path)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ("http://x/a.jpg", "http://x/a.jpg"),
        (["http://x/a.jpg", "http://x/b.jpg"], "http://x/a.jpg"),
        ({"large": ["http://x/l.jpg"], "hi_res": [None]}, "http://x/l.jpg"),
        ([{"thumb": "http://x/t.jpg", "large": None}], "http://x/t.jpg"),
        ([None], None),
        ([], None),
        (7, None),
    ],
)
def test_pictures_of_amazon_items_in_every_shape(tmp_path, images, expected):
    amazon_2023(tmp_path)
    meta = {"parent_asin": "0001", "title": "cut \ud83d", "images": images}
    lines(tmp_path / "meta_All_Beauty.jsonl.gz", [meta])
    item = read_amazon(tmp_path).items.to_pylist()[0]
    assert (item["title"], item["image_url"]) == ("cut ?", expected)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('{"reviewerID": "\\ud800", "asin": "A"}\n', DataError, "a value of another type"),
        ('{"reviewerID": "U", "asin": "A"}\n{"reviewerID": "U', FormatError, "line 2 is not valid"),
        ('{"reviewerID": "U", "asin": "A"}\n{"asin": "A"}\n', DataError, "1 lines without a user"),
        ('{"reviewerID": ["U"], "asin": "A"}\n', DataError, "a value of another type"),
        ("\n", DataError, "no interactions"),
    ],
)
def test_damaged_reviews(tmp_path, text, kind, message):
    amazon_2018(tmp_path)
    (tmp_path / "All_Beauty.json").write_text(text)
    with pytest.raises(kind, match=message):
        read_amazon(tmp_path)


@pytest.fixture
def atomic(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "toy.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\tnote:token\n"
        "1\t10\t4\t880000000\tx\n1\t11\t2\t880000001\ty\n2\t10\t5\t880000002\tz\n"
    )
    (folder / "toy.item").write_text(
        "item_id:token\ttitle:token_seq\ttags:token_seq\ttext:float_seq\n"
        "x9\tUnseen\ta\t1 1\n10\tToy Story\tb c\t1 2\n11\t\t\t\n"
    )
    return folder


def test_recbole(atomic):
    imported = select_core(read_recbole(atomic), None)
    assert imported.items.drop_columns("text").to_pylist() == [
        {"item_id": "10", "title": "Toy Story", "tags": "b c"},
        {"item_id": "11", "title": None, "tags": None},
    ]
    assert imported.interactions.table.to_pylist()[1] == {
        "user_id": 1, "item_id": "11", "timestamp": moment(880000001), "rating": 2.0,
    }  # fmt: skip
    catalogue = embedded(imported.items)
    assert catalogue.embeddings["text"].tolist() == [[1, 2], [0, 0]]
    assert catalogue.present["text"].tolist() == [True, False]
    assert catalogue.attributes.column_names == ["title", "tags"]


def test_recbole_without_items_or_with_two_logs(atomic):
    (atomic / "toy.item").unlink()
    imported = select_core(read_recbole(atomic), None)
    assert imported.items.to_pylist() == [{"item_id": 10}, {"item_id": 11}]
    assert embedded(imported.items) is None
    (atomic / "other.inter").write_text("x")
    with pytest.raises(DataError, match=r"found: other.inter, toy.inter"):
        read_recbole(atomic)
    assert len(read_recbole(atomic / "toy.inter").interactions) == 3
    with pytest.raises(DataError, match=r"one NAME\.inter"):
        read_recbole(atomic / "nowhere")


def test_k_core_cuts_items_too(atomic):
    imported = read_recbole(atomic)
    with pytest.raises(DataError, match="3-core has no interactions"):
        select_core(imported, 3)
    with pytest.raises(SettingsError, match="--k-core 0"):
        select_core(imported, 0)
    (atomic / "toy.inter").write_text(
        "user_id:token\titem_id:token\n1\t10\n1\t10\n2\t10\n2\t10\n3\t11\n"
    )
    core = select_core(read_recbole(atomic), 2)
    assert core.items.column("item_id").to_pylist() == ["10"]
    assert core.interactions.table.column("timestamp").null_count == 4


def test_items_without_metadata_get_a_row_of_nulls(atomic):
    with (atomic / "toy.inter").open("a") as file:
        file.write("2\t12\t5\t880000003\tz\n")
    imported = select_core(read_recbole(atomic), None)
    assert imported.items.to_pylist()[-1] == {
        "item_id": "12", "title": None, "tags": None, "text": None,
    }  # fmt: skip
    assert embedded(imported.items).present["text"].tolist() == [True, False, False]


def test_a_folder_is_written_whole_and_may_be_written_again(atomic, tmp_path):
    out = tmp_path / "out"

    def read():
        return select_core(read_recbole(atomic), None)

    summary = write_import(out, read)
    assert summary == {
        "layout": "recbole", "items": 2, "users": 2, "interactions": 3,
        "out": str(out), "catalogue": str(out / "catalogue.parquet"),
    }  # fmt: skip
    (out / "mine.txt").write_text("kept")
    assert write_import(out, read) == summary
    assert sorted(file.name for file in out.iterdir()) == [
        "catalogue.parquet", "interactions.parquet", "items.parquet", "mine.txt",
        "mmq-import.json",
    ]  # fmt: skip
    assert read_interactions(out / "interactions.parquet").table.equals(read().interactions.table)
    assert pq.read_table(out / "items.parquet").equals(read().items)


def test_the_catalogue_of_an_earlier_import_goes_and_one_of_the_user_stays(atomic, tmp_path):
    out = tmp_path / "out"
    whole = select_core(read_recbole(atomic), None)
    plain = whole._replace(items=whole.items.select(["item_id"]))
    write_import(out, lambda: whole)
    write_import(out, lambda: plain)
    assert not (out / "catalogue.parquet").exists()
    write_catalogue(out / "catalogue.parquet", Catalogue.build([1], {"text": [[1.0]]}))
    write_import(out, lambda: plain)
    assert (out / "catalogue.parquet").exists()


def test_a_folder_of_somebody_else_is_left_alone(atomic, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    with pytest.raises(DataError, match="exists and holds other files"):
        write_import(out, lambda: pytest.fail("read before the folder was checked"))
    assert [file.name for file in out.iterdir()] == ["thesis.tex"]


def test_an_import_that_fails_leaves_nothing_new(tmp_path):
    log = Interactions.build({"user_id": [1, 2], "item_id": [1, 2]})
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 1.0, 0.0, 0.0], pa.float32()), 2)
    bad = Imported("made", pa.table({"item_id": [1, 2], "vec": vectors}), log)
    with pytest.raises(DataError, match="zero vector"):  # found after the log was written
        write_import(tmp_path / "new" / "out", lambda: bad)
    assert list(tmp_path.iterdir()) == []
    good = bad._replace(items=pa.table({"item_id": [1, 2]}))
    write_import(tmp_path / "out", lambda: good)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(before) == 3
    with pytest.raises(DataError, match="zero vector"):
        write_import(tmp_path / "out", lambda: bad)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._times import UNKNOWN, Clock, as_times, nanoseconds, ticks
from mmq.errors import DataError, DataWarning

# whole microseconds of the years 1980 to 2100
MOMENTS = st.lists(st.integers(315_532_800_000_000, 4_102_444_800_000_000), min_size=1, max_size=20)


def iso(numbers, between=" ", after="", digits=6):
    moments = np.array(numbers, "M8[us]").astype(f"M8[{'us' if digits == 6 else 'ns'}]")
    return [str(each).replace("T", between) + after for each in moments]


def forms_of(numbers):
    """The same moments, of whole microseconds, as others write them."""
    us = np.array(numbers, np.int64)
    arrow = pa.array(us)
    zoned = arrow.cast(pa.timestamp("us", "UTC"))
    plus_two = [
        f"{each.astimezone(datetime.timezone(datetime.timedelta(hours=2))):%Y-%m-%d %H:%M:%S.%f%z}"
        for each in zoned.to_pylist()
    ]
    return {
        "int us": arrow,
        "int ns": pa.array(us * 1000),
        "uint64 us": pa.array(us.astype(np.uint64)),
        "timestamp[us]": arrow.cast(pa.timestamp("us")),
        "timestamp[ns]": arrow.cast(pa.timestamp("us")).cast(pa.timestamp("ns")),
        "timestamp[us, Paris]": zoned.cast(pa.timestamp("us", "Europe/Paris")),
        "decimal seconds": pa.array([decimal.Decimal(int(each)).scaleb(-6) for each in us]),
        "text seconds": pa.array([str(decimal.Decimal(int(each)).scaleb(-6)) for each in us]),
        "text us": pa.array([str(each) for each in us]),
        "ISO": pa.array(iso(numbers)),
        "ISO with T and Z": pa.array(iso(numbers, "T", "Z")),
        "ISO of nanoseconds": pa.array(iso(numbers, digits=9)),
        "UTC behind": pa.array(iso(numbers, after=" UTC")),
        "another zone": pa.array(plus_two),
        "comma": pa.array([each.replace(".", ",") for each in iso(numbers)]),
        "slashes": pa.array([each.replace("-", "/") for each in iso(numbers)]),
        "categories": pa.array(iso(numbers)).dictionary_encode(),
        "large text": pa.array(iso(numbers), pa.large_string()),
        "text view": pa.array(iso(numbers)).cast(pa.string_view()),
        "float us": pa.array(us.astype(float)),
        "float seconds": pa.array(us / 1e6),
        "float milliseconds": pa.array(us / 1e3),
    }


@given(MOMENTS)
def test_a_moment_is_the_same_in_every_form(numbers):
    for name, values in forms_of(numbers).items():
        found = as_times(values)
        assert found.type == pa.timestamp("us"), name
        assert ticks(found).tolist() == numbers, name


@given(st.lists(st.integers(0, 4_102_444_800), min_size=1, max_size=20))
def test_whole_seconds_in_every_form(seconds):
    expected = [each * 10**6 for each in seconds]
    numbers = np.array(seconds, np.int64)
    moments = numbers.astype("M8[s]")
    for values in (
        pa.array(moments),
        pa.array(numbers.astype(float)),
        pa.array([f"{each}.0" for each in seconds]),
        pa.array([str(each) for each in moments]),
    ):
        assert ticks(as_times(values)).tolist() == expected


@given(st.lists(st.integers(10**18, 4 * 10**18), min_size=1, max_size=20))
def test_nanoseconds_are_kept(numbers):
    typed = pa.array(numbers).cast(pa.timestamp("ns"))
    texts = pa.array([str(np.datetime64(each, "ns")) for each in numbers])
    found = [as_times(values) for values in (typed, pa.array(numbers), texts)]
    assert all(each.equals(found[0]) for each in found)
    scale = 1 if found[0].type.unit == "ns" else 1000
    assert (ticks(found[0]) * scale).tolist() == numbers
    assert nanoseconds(found[0]).tolist() == numbers


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2018-09-20", "", None, "NaT"], ["2018-09-20", None, None, None]),
        ([1.6e9, float("nan")], ["2020-09-13T12:26:40", None]),
        (["20180920", "20180921"], ["2018-09-20", "2018-09-21"]),
        ([20180920, 20180921], ["2018-09-20", "2018-09-21"]),
        ([20180920, 20180932], ["1970-08-22T13:48:40", "1970-08-22T13:48:52"]),
        ([float("nan"), None], [None, None]),
        ([20180920101500], ["2018-09-20T10:15:00"]),
        (["20180920T101500"], ["2018-09-20T10:15:00"]),
        (["2018-09-20 9:05"], ["2018-09-20T09:05:00"]),
        (["2018-09-20 10:00:00", "2018-09-20T10:00:00+02:00"],
         ["2018-09-20T10:00:00", "2018-09-20T08:00:00"]),
        (["11/11/2019 9:05:58 AM"], ["2019-11-11T09:05:58"]),
        (["11/12/2019 9:05:58 PM", "11/13/2019 9:05:58 AM"],
         ["2019-11-12T21:05:58", "2019-11-13T09:05:58"]),
        (["31/12/2019", "01/02/2020"], ["2019-12-31", "2020-02-01"]),
        ([datetime.date(2018, 9, 20)], ["2018-09-20"]),
    ],
)  # fmt: skip
def test_spellings(values, expected):
    found = as_times(pa.array(values))
    moments = [None if each is None else np.datetime64(each, "us").item() for each in expected]
    assert found.to_pylist() == moments


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["2018-09-20", "soon"], "'soon'; write it as 2020-01-31 10:00:00, or .*timestamp-format"),
        (["2018-13-20"], "'2018-13-20'"),
        (["11/12/2019"], "'11/12/2019' may be of either of two days.*--timestamp-format"),
        (["13/13/2019"], "'13/13/2019'"),
        ([float("inf")], "infinity"),
        ([datetime.time(9, 5)], "is no moment"),
        ([True], "is no moment"),
        (["99999999999999999999"], "past the range of int64"),
        (["0001-01-01 00:00:00.000000001"], "0001-01-01"),
    ],
)
def test_what_is_no_moment_is_refused(values, message):
    with pytest.raises(DataError, match=message):
        as_times(pa.array(values))


def test_a_form_that_is_named():
    german = pa.array(["31.12.2019 10:05", "", "01.02.2020 00:00"])
    found = as_times(german, "%d.%m.%Y %H:%M").to_pylist()
    assert found == [datetime.datetime(2019, 12, 31, 10, 5), None, datetime.datetime(2020, 2, 1)]
    zoned = as_times(pa.array(["31.12.2019 10:05 +0200"]), "%d.%m.%Y %H:%M %z").to_pylist()
    assert zoned == [datetime.datetime(2019, 12, 31, 8, 5)]
    with pytest.raises(DataError, match=r"'2019' is not written as --timestamp-format '%d'"):
        as_times(pa.array(["2019"]), "%d")


@given(
    st.lists(
        st.tuples(st.sampled_from(["us", "ns"]), st.lists(st.none() | st.integers(0, 10**15))),
        max_size=5,
    )
)
def test_a_clock_brings_pieces_to_one_unit(pieces):
    rows = sum(len(values) for _, values in pieces)
    clock = Clock(times := np.empty(rows, np.int64), known := np.empty(rows, bool))
    expected = []
    for unit, values in pieces:
        array = pa.array(values, pa.timestamp(unit))
        clock.add(ticks(array), np.array([each is not None for each in values], bool), unit)
        scale = 1000 if unit == "us" else 1
        expected += [None if each is None else each * scale for each in values]
    clock.settle()
    told = [each for each in expected if each is not None]
    assert known.tolist() == [each is not None for each in expected]
    assert (times[~known] == UNKNOWN).all()
    if any(told):
        ratio = max(told) // int(times[known].max())
        assert ratio in (1, 10**3, 10**6, 10**9)
        assert (times[known] * ratio).tolist() == told
        assert ratio == 10**9 or any(each % (ratio * 1000) for each in told) or ratio >= 1000


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()])
def test_times_of_two_units_are_told(scale, kind):
    numbers = pa.array([1_600_000_000 * int(scale), 1_600_000_100 * (int(scale) // 1000)])
    values = numbers.cast(kind, safe=False)
    with pytest.warns(DataWarning, match=r"1 of 2 times look as if they were in (s|ms|us), such"):
        as_times(values)
    as_times(
        pa.array([0, 5, 1_600_000_000 * int(scale)]).cast(kind, safe=False)
    )  # a moment of 1970 may be

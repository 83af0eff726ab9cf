from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.encoders._template import TextTemplate
from mmq.errors import DataError, SettingsError

FILMS = pa.table(
    {
        "title": ["Kim ", "Zero", None],
        "genres": pa.array([["Drama", None, "War"], [], None], pa.list_(pa.string())),
        "year": [1950, None, None],
        "director": [None, "Ann", ""],
    }
)


def test_columns_are_joined_in_their_order():
    template = TextTemplate.of_columns(("title", "genres", "year"))
    assert template.fill(FILMS) == ["Kim. Drama, War. 1950", "Zero", None]


def test_a_sentence_without_any_value_is_left_out():
    template = TextTemplate.parse("A film: {title}. directed by {director} in {year}. The end.")
    assert template.fill(FILMS) == [
        "A film: Kim. directed by in 1950. The end.",
        "A film: Zero. directed by Ann in. The end.",
        None,
    ]
    assert TextTemplate.parse("{title}. by {director}").fill(FILMS) == ["Kim", "Zero. by Ann", None]


@pytest.mark.parametrize("template", ["{title", "title}", "{}", "{{title}}", "{a}. {b} }"])
def test_a_brace_without_partner_is_refused(template):
    with pytest.raises(SettingsError, match="brace"):
        TextTemplate.parse(template)


def test_a_template_without_columns_is_refused():
    with pytest.raises(SettingsError, match="names no column"):
        TextTemplate.parse("a film")


def test_each_column_is_listed_once():
    template = TextTemplate.parse("{b} {a}. {b}")
    assert template.columns == ("b", "a")
    assert not template.plain
    assert TextTemplate.parse("{b}. {a}").plain


def test_nested_values_are_refused():
    table = pa.table({"maker": [{"name": "Ann"}]})
    with pytest.raises(DataError, match="'maker' holds struct"):
        TextTemplate.of_columns(("maker",)).fill(table)


def test_what_is_not_a_number_is_no_text():
    nan = float("nan")
    table = pa.table({"title": ["a", None], "year": [nan, nan], "sizes": [[1.5, nan], [nan]]})
    filled = TextTemplate.of_columns(("title", "year", "sizes")).fill(table)
    assert filled == ["a. 1.5", None]


@given(st.lists(st.one_of(st.none(), st.text()), min_size=1))
def test_a_single_column_comes_out_as_it_is(values):
    filled = TextTemplate.of_columns(("c",)).fill(pa.table({"c": pa.array(values, pa.string())}))
    assert filled == [(value or "").strip() or None for value in values]

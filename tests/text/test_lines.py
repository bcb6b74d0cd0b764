"""JSON Lines are cut at line feeds and nowhere else."""

import json

from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import RowError
from noria.text.lines import json_objects, numbered_lines


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=8),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.booleans(),
)
def test_what_was_written_is_read_back(objects, end, marked):
    text = ("\ufeff" if marked else "") + end.join(json.dumps(one, ensure_ascii=False) for one in objects)
    assert [value for _, value in json_objects(text, "rows.jsonl")] == objects


def test_separators_inside_a_string_cut_nothing():
    value = {"text": "一\u2028二\u2029三\x85四\x0b五\x1c六"}
    (line, read), *rest = json_objects(json.dumps(value, ensure_ascii=False), "rows.jsonl")
    assert (line, read, rest) == (1, value, [])


def test_a_line_keeps_its_number_behind_blank_ones():
    assert list(numbered_lines("\ufeffa\r\n\r\n \n b\n")) == [(1, "a"), (4, " b")]


def test_what_is_no_object_stands_as_an_error_with_its_line():
    found = list(json_objects('{"a": 1}\n[1]\nx\n', "rows.jsonl"))
    assert found[0] == (1, {"a": 1})
    assert [line for line, one in found if isinstance(one, RowError)] == [2, 3]

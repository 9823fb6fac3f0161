"""
Messages that the proxy reads and writes itself.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlml.wire.messages import Field, error_response, read_cstring, read_fields, write_fields

values = st.binary(max_size=20).map(lambda value: value.replace(b"\0", b""))
fields = st.dictionaries(st.sampled_from(sorted(Field)), values)


@given(fields)
def test_fields_survive_writing_and_reading(fields):
    assert read_fields(write_fields(fields)) == fields


def test_an_error_has_what_is_always_there():
    raw = error_response("FATAL", "08006", "no server", hint="Start it.")
    assert int.from_bytes(raw[1:5], "big") == len(raw) - 1
    assert read_fields(raw[5:]) == {
        ord("S"): b"FATAL",
        ord("V"): b"FATAL",
        ord("C"): b"08006",
        ord("M"): b"no server",
        ord("H"): b"Start it.",
    }


def test_an_error_without_sqlstate_cannot_be_made():
    with pytest.raises(ValueError, match="SQLSTATE"):
        error_response("ERROR", "", "no code")


def test_strings_that_are_cut_off_are_none():
    assert read_cstring(b"abc\0def", 0) == (b"abc", 4)
    assert read_cstring(b"abc\0def", 4) is None

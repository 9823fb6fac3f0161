"""
Texts in the client's encoding.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlml.wire.encodings import decode, decode_head, encode, encode_message


@given(st.binary(), st.sampled_from(["UTF8", "LATIN1", "SQL_ASCII", "SJIS", "MULE_INTERNAL"]))
def test_what_can_be_read_is_written_back_byte_for_byte(raw, client_encoding):
    text = decode(raw, client_encoding)
    assert text is None or encode(text, client_encoding) == raw


@given(st.binary())
def test_any_bytes_can_be_read_where_the_encoding_is_unknown(raw):
    assert decode(raw, "SQL_ASCII") is not None


@pytest.mark.parametrize(
    ("client_encoding", "raw"),
    [
        ("UTF8", b"\xc3\xa4"),
        ("LATIN1", b"\xe4"),
        ("WIN1252", b"\xe4"),
        ("GB18030", b"\x81\x30\x8a\x31"),
    ],
)
def test_a_letter_in_several_encodings(client_encoding, raw):
    assert decode(raw, client_encoding) == "ä"


def test_a_quote_inside_a_letter_is_no_quote():
    # The second byte of this letter is an ASCII backslash.
    assert decode(b"\x95\x5c", "SJIS") == "表"


def test_bytes_that_are_not_of_the_encoding_are_nobodys_text():
    assert decode(b"CREATE MODEL \xff", "UTF8") is None


def test_a_message_says_what_the_encoding_can():
    assert encode_message("größe 😀", "LATIN1") == b"gr\xf6\xdfe ?"


def test_a_head_may_end_inside_a_letter():
    assert decode_head("CREATE MODEL ä".encode()[:-1], "UTF8").startswith("CREATE MODEL ")

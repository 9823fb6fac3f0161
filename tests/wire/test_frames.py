"""
Frames out of a byte stream: whatever the split, the same frames and the same bytes.
"""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlml.errors import ProtocolViolation
from sqlml.wire.frames import HEADER_SIZE, Frame, FrameReader
from sqlml.wire.messages import frame

CODES = b"QPBDZ"
messages = st.lists(
    st.tuples(st.sampled_from(CODES), st.binary(max_size=60)).map(lambda item: frame(*item)),
    max_size=8,
)
wanted = st.dictionaries(st.sampled_from(CODES), st.integers(HEADER_SIZE, 80))


@st.composite
def cut_streams(draw):
    """A stream of messages and one way to cut it into pieces."""
    stream = b"".join(draw(messages))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    return stream, [stream[a:b] for a, b in pairwise(edges) if a < b]


def feed_all(reader, pieces):
    return [item for piece in pieces for item in reader.feed(piece)]


def raw(items):
    return b"".join(item.raw if isinstance(item, Frame) else item for item in items)


@given(cut_streams(), wanted)
def test_every_byte_comes_out_in_order(cut, wanted):
    stream, pieces = cut
    assert raw(feed_all(FrameReader(wanted), pieces)) == stream


@given(cut_streams(), wanted)
def test_a_split_does_not_change_the_frames(cut, wanted):
    stream, pieces = cut
    split = [item for item in feed_all(FrameReader(wanted), pieces) if isinstance(item, Frame)]
    whole = [item for item in feed_all(FrameReader(wanted), [stream]) if isinstance(item, Frame)]
    assert split == whole


@given(cut_streams())
def test_wanted_frames_are_whole_or_as_long_as_asked(cut):
    _, pieces = cut
    for item in feed_all(FrameReader({ord("Q"): 20}), pieces):
        if isinstance(item, Frame):
            assert item.code == ord("Q")
            assert len(item.raw) <= 20
            assert item.is_whole == (len(item.raw) == int.from_bytes(item.raw[1:5], "big") + 1)


@given(cut_streams())
def test_more_of_a_frame_comes_when_asked_for(cut):
    stream, pieces = cut
    reader = FrameReader({ord("Q"): 10})
    seen = b""
    for piece in pieces:
        for item in reader.feed(piece):
            if isinstance(item, Frame) and not item.is_whole and len(item.raw) < 40:
                reader.want_more(40)
            else:
                assert not isinstance(item, Frame) or item.is_whole or len(item.raw) == 40
                seen += raw([item])
    assert seen == stream


def test_a_violation_leaves_the_bytes():
    reader = FrameReader({ord("Q"): 100})
    good, bad = frame(ord("Q"), b"SELECT 1\0"), b"X\0\0\0\3rest"
    items: list[Frame | bytes] = []

    def feed(data):
        items.extend(reader.feed(data))

    with pytest.raises(ProtocolViolation, match="invalid message length 3"):
        feed(good + bad)
    assert raw(items) + reader.release() == good + bad


def test_an_unwanted_frame_is_not_kept():
    reader = FrameReader({ord("Q"): 100})
    piece = bytes(64 * 1024)
    tracemalloc.start()
    passed = len(raw(reader.feed(b"d" + (200 << 20).to_bytes(4, "big"))))
    for _ in range(3200):
        passed += len(raw(reader.feed(piece)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert passed >= 200 << 20
    assert peak < 1 << 20


def test_a_long_wanted_frame_in_small_pieces_is_joined_once():
    reader = FrameReader({ord("Q"): 1 << 25})
    stream = frame(ord("Q"), bytes(8 << 20))
    tracemalloc.start()
    items = [
        item
        for start in range(0, len(stream), 1000)
        for item in reader.feed(stream[start : start + 1000])
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert items == [Frame(ord("Q"), stream, True)]
    assert peak < 4 * len(stream)

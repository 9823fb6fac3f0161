"""
The bytes of an artifact are a promise: the same model gives the same ones for ever.
"""

import hashlib
import struct
import zlib

from sqlml.compile.artifact import compile_model
from tests.compile.test_refusals import MODEL

SHA256 = "e0d69554edecb3d3e213bf84cec2243c75c26ab989c49b3d921fd7b1a40380ec"


def test_header_states_version_checksum_and_size():
    artifact = compile_model(MODEL)
    magic, version, crc32, size, reserved = struct.unpack_from("<8sIIQQ", artifact.data)
    assert (magic, version, reserved) == (b"SQLMLART", 3, 0)
    assert crc32 == artifact.crc32 == zlib.crc32(artifact.data[32:])
    assert size == artifact.size_bytes == len(artifact.data)


def test_bytes_of_format_2_do_not_change():
    assert hashlib.sha256(compile_model(MODEL).data).hexdigest() == SHA256


def test_compiling_twice_gives_the_same_bytes():
    assert compile_model(MODEL) == compile_model(MODEL)

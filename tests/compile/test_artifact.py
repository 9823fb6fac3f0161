"""
The bytes of an artifact are a promise: the same model gives the same ones for ever.
"""

import hashlib
import struct
import zlib

from sqlml.compile.artifact import compile_model
from tests.compile.test_refusals import MODEL

SHA256 = "9528c5b3c5d8ce050f35685489879d161b3d578e59531e28c32c1eb66817042a"


def test_header_states_version_checksum_and_size():
    artifact = compile_model(MODEL)
    magic, version, crc32, size, reserved = struct.unpack_from("<8sIIQQ", artifact.data)
    assert (magic, version, reserved) == (b"SQLMLART", 3, 0)
    assert crc32 == artifact.crc32 == zlib.crc32(artifact.data[32:])
    assert size == artifact.size_bytes == len(artifact.data)


def test_bytes_of_format_3_do_not_change():
    assert hashlib.sha256(compile_model(MODEL).data).hexdigest() == SHA256


def test_compiling_twice_gives_the_same_bytes():
    assert compile_model(MODEL) == compile_model(MODEL)

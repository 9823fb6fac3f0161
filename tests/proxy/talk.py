"""
Raw protocol: a logged-in socket, and messages as bytes.
"""

import os
import socket
import struct
from contextlib import closing, contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sqlml.wire.messages import Backend, Frontend, frame, read_fields
from sqlml.wire.startup import RequestCode

SSL_REQUEST = struct.pack("!ii", 8, RequestCode.SSL)
GSSENC_REQUEST = struct.pack("!ii", 8, RequestCode.GSSENC)
FLUSH = frame(ord("H"), b"")
SYNC = frame(Frontend.SYNC, b"")
TERMINATE = frame(Frontend.TERMINATE, b"")
TIMEOUT_S = 20


def startup(version=196608, **parameters):
    words = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items()) + b"\0"
    return struct.pack("!ii", len(words) + 8, version) + words


def query(text):
    return frame(Frontend.QUERY, text.encode() + b"\0")


def parse(text, name="", oids=()):
    types = len(oids).to_bytes(2, "big") + b"".join(oid.to_bytes(4, "big") for oid in oids)
    return frame(Frontend.PARSE, name.encode() + b"\0" + text.encode() + b"\0" + types)


def bind(portal="", name="", values=()):
    count = len(values).to_bytes(2, "big")
    items = b"".join(len(value).to_bytes(4, "big") + value for value in values)
    payload = portal.encode() + b"\0" + name.encode() + b"\0" + b"\0\0" + count + items
    return frame(Frontend.BIND, payload + b"\0\0")


def describe(kind, name=""):
    return frame(Frontend.DESCRIBE, kind.encode() + name.encode() + b"\0")


def execute(portal="", max_rows=0):
    return frame(Frontend.EXECUTE, portal.encode() + b"\0" + max_rows.to_bytes(4, "big"))


def close(kind, name=""):
    return frame(Frontend.CLOSE, kind.encode() + name.encode() + b"\0")


def once(text):
    """Parse, bind, describe and execute, without Sync."""
    return parse(text) + bind() + describe("P") + execute()


class Talker:
    """A logged-in connection whose bytes are the test's own."""

    def __init__(self, sock):
        self.socket = sock
        sock.settimeout(TIMEOUT_S)
        self._buffer = b""

    def send(self, data, piece_size=None):
        """Send the bytes, each piece in a packet of its own."""
        for start in range(0, len(data), piece_size or len(data)):
            self.socket.sendall(data[start : start + (piece_size or len(data))])

    def read_message(self):
        """Return the next message's code and payload, or None at the end."""
        header = self._read(5)
        if header is None:
            return None
        payload = self._read(int.from_bytes(header[1:], "big") - 4)
        assert payload is not None
        return chr(header[0]), payload

    def read(self, ready=1):
        """Return the messages up to the given number of ReadyForQuery, or to the end."""
        messages = []
        while ready and (message := self.read_message()) is not None:
            messages.append(message)
            ready -= message[0] == chr(Backend.READY_FOR_QUERY)
        return messages

    def ask(self, data, ready=1, piece_size=None):
        """Send bytes and return the answer."""
        self.send(data, piece_size)
        return self.read(ready)

    def _read(self, size):
        while len(self._buffer) < size:
            data = self.socket.recv(65536)
            if not data:
                return None
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


@contextmanager
def talk(dsn):
    """Log in with libpq, then take its socket over: nobody says goodbye but the test."""
    with closing(psycopg.connect(dsn)) as connection, open(os.devnull, "rb") as nothing:
        sock = socket.socket(fileno=os.dup(connection.fileno()))
        os.dup2(nothing.fileno(), connection.fileno())
        with sock:
            yield Talker(sock)


@contextmanager
def open_socket(dsn):
    """A socket to the address, nothing sent yet."""
    sock = socket.create_connection(address(dsn), TIMEOUT_S)
    with sock:
        yield Talker(sock)


def address(dsn):
    parameters = conninfo_to_dict(dsn)
    return str(parameters["host"]), int(str(parameters["port"]))


def codes(messages):
    """The letters of an answer; of ReadyForQuery and errors with what matters."""
    words = []
    for code, payload in messages:
        if code == "Z":
            words.append(f"Z{payload.decode()}")
        elif code == "E":
            words.append(f"E[{read_fields(payload)[ord('C')].decode()}]")
        elif code == "C":
            words.append(f"C[{payload[:-1].decode()}]")
        elif code != "N":
            words.append(code)
    return " ".join(words)


def errors(messages):
    """The fields of the errors in an answer, by letter."""
    return [
        {chr(code): value.decode() for code, value in read_fields(payload).items()}
        for code, payload in messages
        if code == "E"
    ]

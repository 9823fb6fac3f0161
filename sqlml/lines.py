"""
JSON lines: what a process and its parent say to each other through pipes.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]

READ_BYTES = 1 << 16


def take_output() -> int:
    """Keep the standard output for messages; what libraries print goes to the standard error."""
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


def write_message(output: int, message: Message) -> None:
    """Write one line; exit where nobody reads it any more."""
    data = json.dumps(message).encode() + b"\n"
    try:
        while data:
            data = data[os.write(output, data) :]
    except BrokenPipeError:
        os._exit(1)


def read_messages(descriptor: int) -> Iterator[Message]:
    """Read messages as they come, until the other side closes its end or dies."""
    pending = b""
    # Not sys.stdin: its lock would be held when the interpreter shuts down.
    while chunk := os.read(descriptor, READ_BYTES):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)

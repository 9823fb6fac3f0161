"""
Run a command that may not make one call of the kernel, as in a sandbox.

    python sandbox.py CALL COMMAND …

The call fails with EPERM.
"""

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
# Young calls have the same numbers on every processor.
CALLS = {"io_uring_setup": 425, "io_uring_enter": 426}
FAIL_WITH_EPERM, ALLOW = 0x00050001, 0x7FFF0000


def forbid(number: int) -> None:
    """Have the call fail in this process and its children."""
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (LOAD_WORD, 0, 0, 0),
            (JUMP_IF_EQUAL, 0, 1, number),
            (RETURN, 0, 0, FAIL_WITH_EPERM),
            (RETURN, 0, 0, ALLOW),
        )
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    rules = struct.pack("HxxxxxxP", 4, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, rules),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "no sandbox")


if __name__ == "__main__":
    forbid(CALLS[sys.argv[1]])
    os.execvp(sys.argv[2], sys.argv[2:])

"""
The first and quickest question about a text: may it hold something of ours?

Looks at bytes in any client encoding and at no more than LOOK_BYTES of them. A "no" is final for
the part that was looked at; a "maybe" has the text read properly. The relay asks the same in C
(`relay_src/prefilter.c`). Comments between the words of `predict (` or `sqlml . proxy` hide them.
"""

import re

from sqlml.proxy.handover import LOOK_BYTES

# What may continue an identifier, in lower case; so may any byte of another alphabet.
_IDENTIFIER = rb"a-z0-9_$\x80-\xff"
_BLANKS = rb"[ \t\n\r\f\v]*"
# A literal, a number or a parameter is no model's name.
_MAYBE = re.compile(
    rb"(?<![%(identifier)s])(?:models?(?![%(identifier)s])"
    rb'|predict(?:_proba)?%(blanks)s\(%(blanks)s[a-z_"\x80-\xff]'
    rb"|sqlml%(blanks)s\.%(blanks)sproxy)" % {b"identifier": _IDENTIFIER, b"blanks": _BLANKS}
)
_WORDS = (b"model", b"predict", b"sqlml")


def may_concern_us(text: bytes) -> bool:
    """Say whether a text, or the head of it that is looked at, may hold something of ours."""
    head = text[:LOOK_BYTES].lower()
    return any(word in head for word in _WORDS) and _MAYBE.search(head) is not None

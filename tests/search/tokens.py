"""
The tokens of a text as docs/artifact.md defines them, in the most obvious way.
"""

from collections.abc import Iterator

MASK = 2**64 - 1


def is_word(point: int) -> bool:
    """Tell whether a code point belongs to words."""
    if point < 0x80:
        return chr(point).isalnum() or point == ord("_")
    punctuation = (
        (0x80, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2000, 0x206F), (0x2E00, 0x2E7F),
        (0x3000, 0x303F), (0xFF00, 0xFF0F), (0xFF1A, 0xFF20),
    )  # fmt: skip
    if point in (0xAA, 0xB5, 0xBA):
        return True
    return not any(low <= point <= high for low, high in punctuation)


def is_alone(point: int) -> bool:
    """Tell whether a code point is a token by itself."""
    ranges = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF))
    return any(low <= point <= high for low, high in ranges)


def fold(point: int) -> int:
    """Fold the case of a code point."""
    if (
        ord("A") <= point <= ord("Z")
        or (0xC0 <= point <= 0xDE and point != 0xD7)
        or (0x391 <= point <= 0x3A9 and point != 0x3A2)
        or 0x410 <= point <= 0x42F
    ):
        return point + 32
    if 0x400 <= point <= 0x40F:
        return point + 80
    even = (0x100 <= point <= 0x137 and point != 0x130) or 0x14A <= point <= 0x177
    odd = 0x139 <= point <= 0x148 or 0x179 <= point <= 0x17E
    if (even and point % 2 == 0) or (odd and point % 2 == 1):
        return point + 1
    return point


def tokens(text: str) -> Iterator[str]:
    """Cut a text into folded tokens."""
    word = ""
    for point in map(ord, text):
        if is_alone(point) or not is_word(point):
            if word:
                yield word
            word = ""
            if is_alone(point):
                yield chr(point)
        else:
            word += chr(fold(point))
    if word:
        yield word


def mix(value: int) -> int:
    """Finish a hash as splitmix64 does."""
    value ^= value >> 30
    value = value * 0xBF58476D1CE4E5B9 & MASK
    value ^= value >> 27
    value = value * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def hash_token(token: str) -> int:
    """Hash a folded token."""
    value = 0xCBF29CE484222325
    for byte in token.encode():
        value = (value ^ byte) * 0x100000001B3 & MASK
    return mix(value)


def hash_pair(first: int, second: int) -> int:
    """Hash two neighbours by their hashes."""
    return mix((first * 0x9E3779B97F4A7C15 + second) & MASK)


def terms(text: str | None, *, bigrams: bool) -> list[int]:
    """Hash the terms of a text, in order and with repeats."""
    found: list[int] = []
    before: int | None = None
    for token in tokens(text or ""):
        value = hash_token(token)
        found.append(value)
        if bigrams and before is not None:
            found.append(hash_pair(before, value))
        before = value
    return found

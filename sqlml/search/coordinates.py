"""
Coordinates: which columns, by their names, are the two of one place.
"""

import re
from collections.abc import Sequence

PARTNERS = {
    "latitude": ("longitude",),
    "lat": ("lon", "lng", "long"),
    "northing": ("easting",),
}
"""The word for one coordinate, and those for the other."""
WORD_END = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
"""`pickup_lat`, `pickup lat` and `pickupLat` have the same words."""


def find_coordinates(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pair the names that differ only in the word for a coordinate, in the order of the first."""
    by_words = {_words(name): name for name in reversed(names)}
    pairs: list[tuple[str, str]] = []
    for name in names:
        words = _words(name)
        for place, word in enumerate(words):
            partners = [
                by_words.get((*words[:place], other, *words[place + 1 :]))
                for other in PARTNERS.get(word, ())
            ]
            pairs += [(name, partner) for partner in partners if partner is not None][:1]
    return tuple(pairs)


def _words(name: str) -> tuple[str, ...]:
    """Cut a name into words."""
    return tuple(word.lower() for word in WORD_END.split(name) if word)

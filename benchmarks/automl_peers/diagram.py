"""
The critical-difference diagram (Demšar 2006) as SVG.

Average ranks on an axis, the best on the left; a bar joins systems whose ranks differ by less
than the critical difference.
"""

from collections.abc import Mapping
from html import escape

WIDTH, SIDE, AXIS_Y, ROW, BAR_STEP = 760, 190, 62, 22, 9


def draw_diagram(ranks: Mapping[str, float], difference: float) -> str:
    """The diagram of average ranks by title."""
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    bars = find_cliques([rank for _, rank in ordered], difference)
    top = AXIS_Y + 18 + BAR_STEP * len(bars)
    height = top + ROW * (len(ordered) + 1) // 2 + 14
    place = _Axis(len(ordered))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *_draw_axis(place, len(ordered)),
        *_draw_difference(place, difference),
    ]
    for number, (first, last) in enumerate(bars):
        y = AXIS_Y + 12 + BAR_STEP * number
        ends = (place(ordered[first][1]) - 4, place(ordered[last][1]) + 4)
        parts.append(_line(ends[0], y, ends[1], y, width=4))
    for number, (title, rank) in enumerate(ordered):
        parts += _draw_system(place(rank), top, number, len(ordered), f"{title} ({rank:.2f})")
    return "\n".join([*parts, "</svg>", ""])


def find_cliques(ranks: list[float], difference: float) -> list[tuple[int, int]]:
    """First and last of each longest stretch of ascending ranks within the difference."""
    cliques: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(place for place, other in enumerate(ranks) if other - rank <= difference)
        if last > first and not (cliques and cliques[-1][1] == last):
            cliques.append((first, last))
    return cliques


class _Axis:
    """Where a rank lies."""

    def __init__(self, count: int):
        self._scale = (WIDTH - 2 * SIDE) / (count - 1)

    def __call__(self, rank: float) -> float:
        return SIDE + (rank - 1) * self._scale

    def length(self, difference: float) -> float:
        """How long a difference of ranks is."""
        return difference * self._scale


def _draw_axis(place: _Axis, count: int) -> list[str]:
    parts = [_line(place(1), AXIS_Y, place(count), AXIS_Y)]
    for rank in range(1, count + 1):
        parts.append(_line(place(rank), AXIS_Y - 5, place(rank), AXIS_Y))
        parts.append(_text(place(rank), AXIS_Y - 10, str(rank), "middle"))
    return parts


def _draw_difference(place: _Axis, difference: float) -> list[str]:
    start, end, y = place(1), place(1) + place.length(difference), 24
    ends = [_line(x, y - 4, x, y + 4) for x in (start, end)]
    label = f"critical difference {difference:.2f}"
    return [_line(start, y, end, y), *ends, _text(start, y - 9, label, "start")]


def _draw_system(x: float, top: float, number: int, count: int, label: str) -> list[str]:
    """The better half is named on the left, from above; the others on the right, from below."""
    is_left = number < (count + 1) // 2
    row = number if is_left else count - 1 - number
    y, edge = top + ROW * row + 8, SIDE - 16 if is_left else WIDTH - SIDE + 16
    anchor, gap = ("end", -5) if is_left else ("start", 5)
    return [
        _line(x, AXIS_Y, x, y),
        _line(x, y, edge, y),
        _text(edge + gap, y + 4, label, anchor),
    ]


def _line(x1: float, y1: float, x2: float, y2: float, width: int = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        f' stroke="black" stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

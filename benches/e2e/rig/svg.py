"""Decides how figures look as a plot: horizontal bars with least and most, as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 560
_LABEL = 180
_VALUE = 96
_BAR = 16
_GAP = 7
_TOP = 26


@dataclass(frozen=True)
class Bar:
    """One line of a plot."""

    label: str
    kind: str  # a class of the style sheet: who it is
    median: float
    low: float
    high: float
    text: str


def bars(title: str, lines: Sequence[Bar]) -> str:
    """The plot; its scale begins at nought and ends at the highest value."""
    height = _TOP + len(lines) * (_BAR + _GAP) + _GAP
    top = max((line.high for line in lines), default=0.0) or 1.0
    scale = (_WIDTH - _LABEL - _VALUE) / top
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="0" y="15">{escape(title)}</text>',
    ]
    for number, line in enumerate(lines):
        parts.append(_bar(line, _TOP + number * (_BAR + _GAP), scale))
    return "\n".join([*parts, "</svg>"])


def _bar(line: Bar, y: float, scale: float) -> str:
    middle = y + _BAR / 2
    end = _LABEL + line.median * scale
    low, high = _LABEL + line.low * scale, _LABEL + line.high * scale
    whiskers = (
        f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}'
        f'M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"/>'
    )
    return "".join(
        [
            f"<g><title>{escape(line.label)}: {escape(line.text)}</title>",
            f'<text class="label" x="{_LABEL - 6}" y="{middle + 4}">{escape(line.label)}</text>',
            f'<rect class="{escape(line.kind)}" x="{_LABEL}" y="{y}" rx="2" '
            f'width="{max(end - _LABEL, 1):.1f}" height="{_BAR}"/>',
            whiskers if line.high > line.low else "",
            f'<text class="value" x="{max(end, high) + 6:.1f}" y="{middle + 4}">'
            f"{escape(line.text)}</text></g>",
        ]
    )

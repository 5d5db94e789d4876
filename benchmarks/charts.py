"""Bar charts as SVG, written by hand: a dependency less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from benchmarks.runner import Record
from benchmarks.table import row_name

__all__ = ["charts"]

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP = 760, 230, 130, 18, 8
_OURS, _OTHERS, _INK = "#2563eb", "#94a3b8", "#334155"


def charts(records: Sequence[Record]) -> dict[str, str]:
    """File name -> chart, of those cases that were run."""
    made = {
        "small-runs.svg": _bars(
            "Seconds for 100 items x 3 calls of 200 ms, 100 in flight (ideal: 0.6)",
            _rows(records, "b", "wall_s", lambda value: f"{value:.2f} s"),
        ),
        "engine-cost.svg": _bars(
            "µs of CPU per call, answers at once, 10,000 items x 3",
            _rows(records, "c0", "cpu_us_per_call", lambda value: f"{value:.0f} µs"),
        ),
        "tails.svg": _bars(
            "Seconds for 200 items x 3 steps, 2 % of the calls take 3 s, 50 in flight (ideal: 3.4)",
            _rows(records, "e", "wall_s", lambda value: f"{value:.1f} s", in_flight=50),
        ),
        "rate-limit.svg": _bars(
            "Share of a limit of 50 requests/s that is used",
            _rows(records, "g", "goodput_share", lambda value: f"{value:.0%}"),
        ),
    }
    return {name: chart for name, chart in made.items() if chart}


def _rows(
    records: Sequence[Record], case: str, what: str, write: Callable[[float], str], in_flight: int | None = None
) -> list[tuple[str, float, str, bool]]:
    """Name, length and label of each bar, and whether it is ours."""
    rows = []
    for record in records:
        value = record.get(what)
        if record["case"] != case or value is None or in_flight not in (None, record["in_flight"]):
            continue
        name = row_name(record) + (" + store" if record["store"] else "")
        told = record["note"].startswith("told") or record["note"].startswith("a minute")
        name += f" ({'told' if record['note'].startswith('told') else 'headers'})" if told else ""
        rows.append((name, float(value), write(float(value)), record["engine"] == "llmdag"))
    return rows


def _bars(title: str, rows: Sequence[tuple[str, float, str, bool]]) -> str:
    """A horizontal bar per row; "" for no rows."""
    if not rows:
        return ""
    longest = max(value for _, value, _, _ in rows) or 1.0
    height = 40 + len(rows) * (_BAR + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value, label, ours) in enumerate(rows):
        top = 34 + number * (_BAR + _GAP)
        long = value / longest * (_WIDTH - _LEFT - _RIGHT)
        parts += [
            f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{top}" width="{max(long, 1):.1f}" height="{_BAR}" '
            f'fill="{_OURS if ours else _OTHERS}"/>',
            f'<text x="{_LEFT + long + 6:.1f}" y="{top + 14}">{escape(label)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"

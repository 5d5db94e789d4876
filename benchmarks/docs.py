"""Writes the generated parts of `docs/performance.md`, between its markers, and the charts beside it."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.charts import charts
from benchmarks.runner import Record
from benchmarks.table import markdown_table, markdown_targets
from benchmarks.targets import checked_targets

__all__ = ["update_docs"]

_DOCS = Path(__file__).parent.parent / "docs"


def update_docs(records: list[Record], docs: Path = _DOCS) -> None:
    """Writes table, targets and charts.

    Raises:
        ValueError: the page lacks one of the markers.
    """
    page = docs / "performance.md"
    text = page.read_text(encoding="utf-8")
    images = docs / "images"
    images.mkdir(exist_ok=True)
    drawn = charts(records)
    for name, chart in drawn.items():
        (images / name).write_text(chart, encoding="utf-8")
    text = _replaced(text, "targets", markdown_targets(checked_targets(records)))
    text = _replaced(text, "charts", "\n\n".join(f"![{Path(name).stem}](images/{name})" for name in drawn))
    ran = {record["case"] for record in records}
    tables = [f"### {c.name}: {c.title}\n\n{markdown_table(records, c.name)}" for c in CASES if c.name in ran]
    page.write_text(_replaced(text, "tables", "\n\n".join(tables)), encoding="utf-8")


def _replaced(text: str, part: str, new: str) -> str:
    """`text` with `new` between the markers of `part`."""
    begin, end = f"<!-- generated: {part} -->", f"<!-- end: {part} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"docs/performance.md has no {begin} … {end}")
    return pattern.sub(lambda _: f"{begin}\n{new}\n{end}", text)

"""The rows as a table, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.runner import Record
from benchmarks.targets import Target

__all__ = ["ENGINE_NAMES", "markdown_table", "markdown_targets", "row_name", "shown_table", "shown_targets"]

ENGINE_NAMES = {
    "llmdag": "beam-llmdag",
    "llmdag_local": "beam-llmdag, local",
    "llmdag_script": "beam-llmdag, dag.run",
    "in_process_loop": "bare loop",
    "anthropic_aiohttp": "bare SDK, aiohttp",
    "anthropic_sdk": "bare SDK",
    "langchain_abatch": "LangChain abatch",
    "async_batch_llm_prompts": "async-batch-llm",
    "data_designer_columns": "data-designer",
    "run_inference": "Beam RunInference",
    "ondine_pipeline": "ondine",
}


def _seconds(value: float) -> str:
    return f"{value:.2f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{value:.1%}"


_Columns = tuple[tuple[str, str, Callable[[Any], str]], ...]
_COLUMNS: _Columns = (
    ("items", "items", _whole),
    ("calls", "calls", _whole),
    ("in flight", "in_flight", _whole),
    ("wall s", "wall_s", _seconds),
    ("ideal s", "ideal_s", _seconds),
    ("of ideal", "efficiency", _percent),
    ("CPU µs/call", "cpu_us_per_call", _whole),
    ("peak MB", "peak_rss_mb", _whole),
    ("first s", "first_result_s", _seconds),
    ("× bare", "ratio_to_bare", _seconds),
)
_CALLS: _Columns = (
    ("429s", "calls_429", _whole),
    ("paid twice", "paid_twice", _whole),
    ("lost", "items_lost", _whole),
)
_EXTRA: dict[str, _Columns] = {
    "f": (("calls/s", "calls_per_s", _whole), ("× bare CPU", "cpu_ratio_to_bare", _seconds)),
    "g": (
        ("429s", "calls_429", _whole),
        ("429 after 5 s", "late_share_429", _percent),
        ("of the limit", "goodput_share", _percent),
        ("lost", "items_lost", _whole),
    ),
    "h": (("MB/1,000 items", "mb_per_1000_items", _seconds),),
    **dict.fromkeys(("j", "k", "l"), _CALLS),
}


def row_name(record: Record) -> str:
    """The engine and its plan."""
    plan = f", {record['plan']}" if record["plan"] else ""
    return ENGINE_NAMES[record["engine"]] + plan


def _cells(record: Record) -> list[str]:
    columns = (*_COLUMNS, *_EXTRA.get(record["case"], ()))
    shown = [row_name(record)]
    shown += ["–" if record.get(name) is None else write(record[name]) for _, name, write in columns]
    return [*shown, str(record["note"])]


def _head(case: str) -> list[str]:
    return ["engine", *(title for title, _, _ in (*_COLUMNS, *_EXTRA.get(case, ()))), "note"]


def shown_table(records: Sequence[Record]) -> str:
    """One table for a terminal, with a line of titles per case."""
    told: list[str] = []
    for case in dict.fromkeys(record["case"] for record in records):
        rows = [_head(case), *(_cells(record) for record in records if record["case"] == case)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        told.append(f"\n{case}")
        for row in rows:
            first, *middle = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            told.append("  ".join([row[0].ljust(len(first)), *middle[:-1], row[-1]]).rstrip())
    return "\n".join(told)


def markdown_table(records: Sequence[Record], case: str) -> str:
    """The rows of one case."""
    head = _head(case)
    lines = [head, ["---", *("---:" for _ in head[1:-1]), "---"]]
    lines += [_cells(record) for record in records if record["case"] == case]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _verdict(target: Target) -> tuple[str, str, str]:
    value = "–" if target.value is None else f"{target.value:.3g}" if target.value < 100 else f"{target.value:,.0f}"
    verdict = {True: "met", False: "not met", None: "not measured"}[target.met]
    return value, f"{'≥' if target.at_least else '≤'} {target.limit:g}", verdict


def shown_targets(targets: Sequence[Target]) -> str:
    """The targets for a terminal."""
    lines = ["", "targets"]
    for target in targets:
        value, limit, verdict = _verdict(target)
        lines.append(f"{target.case:>3}  {verdict:<12}  {value:>8}  {limit:<8}  {target.text}")
    return "\n".join(lines)


def markdown_targets(targets: Sequence[Target]) -> str:
    """The targets as a table."""
    lines = ["| case | target | asked | measured | |", "|---|---|---:|---:|---|"]
    for target in targets:
        value, limit, verdict = _verdict(target)
        lines.append(f"| {target.case} | {target.text} | {limit} | {value} | {verdict} |")
    return "\n".join(lines)

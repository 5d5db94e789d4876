"""What made the files of a run: `manifest.json` beside them, for whoever asks a year later, and for `redrive`."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from beam_llmdag.calls.address import without_secrets
from beam_llmdag.calls.options import CallOptions
from beam_llmdag.calls.store.place import is_on_a_server
from beam_llmdag.errors import InputError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.result import Row
from beam_llmdag.usage import Usage

__all__ = [
    "MANIFEST",
    "Origin",
    "RunFacts",
    "about_files",
    "about_items",
    "manifest_of",
    "manifest_text",
    "read_manifest",
    "write_manifest",
]

MANIFEST = "manifest.json"
_FORMAT = 1
_MILLION = 1_000_000
_PACKAGES = ("beam-llmdag", "apache-beam", "pydantic", "anthropic", "openai", "google-genai", "genai-prices", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a run on the command line, or of a pipeline, had its dag and its items from.

    Attributes:
        dag: file, or `module:name`; None where it has no such name.
        input: path, folder or pattern.
        encoding: of the input, None for UTF-8.
    """

    dag: str | None
    input: str
    encoding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """How a run was made.

    Attributes:
        calls: how its calls were.
        id_field, content_field: names of these fields in its records.
        started_at: in seconds since 1970-01-01 UTC.
    """

    calls: CallOptions
    id_field: str
    content_field: str
    started_at: float


def manifest_of(
    graph: Graph,
    facts: RunFacts,
    *,
    items: Mapping[str, Any],
    files: Mapping[str, Any],
    summary: Mapping[str, Any],
    origin: Origin | None,
    written: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The manifest of a run, as JSON-like data.

    Args:
        graph: what was run.
        facts: how.
        items: what is known of them, see `about_items`.
        files: what is known of each, see `about_files`.
        summary: `Summary.to_json` of all results.
        origin: where dag and items are, if they are files.
        written: how `Report.write` writes these files; None where it would write others.
    """
    calls = facts.calls
    store = calls.store
    return {
        "manifest": _FORMAT,
        "run_id": calls.run_id,
        "started_at": _moment(facts.started_at),
        "written_at": _moment(time.time()),
        "versions": {"python": platform.python_version(), **_versions()},
        "origin": None if origin is None else asdict(origin),
        "dag": json.loads(graph.to_json()),
        "prices_usd_per_million_tokens": _prices(graph, facts.started_at),
        "store": without_secrets(store) if store is not None and is_on_a_server(store) else store,
        "options": {
            "lane": calls.lane,
            "budget_usd": calls.budget_usd,
            "id_field": facts.id_field,
            "content_field": facts.content_field,
        },
        "items": dict(items),
        "written": None if written is None else dict(written),
        "files": dict(files),
        "summary": dict(summary),
    }


def about_items(rows: Sequence[Row]) -> dict[str, Any]:
    """How many items there were, and a hash of them."""
    return {"count": len(rows), "sha256": _digest(rows)}


def about_files(folder: Path, files: Iterable[Path]) -> dict[str, Any]:
    """Bytes and hash of each file, by its path within the folder."""
    return {path.relative_to(folder).as_posix(): _about(path) for path in files}


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """The content of a manifest's file."""
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes a manifest into a folder."""
    unfinished = folder / f".{MANIFEST}.unfinished"
    unfinished.write_text(manifest_text(manifest), encoding="utf-8")
    unfinished.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in a folder.

    Raises:
        InputError: there is none that this version can read.
    """
    path = folder / MANIFEST
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} has no {MANIFEST}: no run has written there that says what made it") from None
    except ValueError as error:
        raise InputError(f"{path} is no manifest: {error}") from None
    if not isinstance(known, dict) or known.get("manifest") != _FORMAT:
        raise InputError(f"{path} is no manifest of format {_FORMAT}, which this version of beam-llmdag writes")
    return known


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _prices(graph: Graph, at: float) -> dict[str, dict[str, float] | None]:
    """What each model of the graph cost then; None for one without a price."""
    prices: dict[str, dict[str, float] | None] = {}
    for spec in sorted({model.spec for model in graph.models}):
        kinds = {"input": Usage(input_tokens=_MILLION), "output": Usage(output_tokens=_MILLION)}
        costs = {kind: graph.prices.cost(spec, usage, at=at) for kind, usage in kinds.items()}
        known = {kind: cost / 1e9 for kind, cost in costs.items() if cost is not None}
        prices[spec] = known if len(known) == len(costs) else None
    return prices


def _digest(rows: Sequence[Row]) -> str:
    """A hash of what was analysed, in the order in which it was given."""
    digest = hashlib.sha256()
    for row in rows:
        item = row.item
        content = item.content if isinstance(item.content, bytes) else str(item.content).encode("utf-8", "replace")
        metadata = json.dumps(item.metadata, sort_keys=True, default=str).encode()
        for part in (item.id.encode("utf-8", "replace"), content, metadata):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _about(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

"""Every request and what became of it, readable from other threads while the simulator runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from beam_llmdag.testing.simulator.request import LoggedRequest, SimulatedRequest

__all__ = ["Entry", "RequestLog"]


@dataclass(slots=True, eq=False)
class Entry:
    """A request in work; the attributes are those of `LoggedRequest`."""

    request: SimulatedRequest
    status: int | None = None
    usage: Mapping[str, Any] | None = None
    finished_at: float | None = None
    closed_by_client_at: float | None = None

    def snapshot(self) -> LoggedRequest:
        """What is known now."""
        asked = {f.name: getattr(self.request, f.name) for f in fields(SimulatedRequest)}
        return LoggedRequest(
            **asked,
            status=self.status,
            usage=self.usage,
            finished_at=self.finished_at,
            closed_by_client_at=self.closed_by_client_at,
        )

    def line(self) -> str:
        """The entry as one line of JSON."""
        request = self.request
        data = {
            "received_at": request.received_at,
            "finished_at": self.finished_at,
            "closed_by_client_at": self.closed_by_client_at,
            "status": self.status,
            "protocol": request.protocol,
            "model": request.model,
            "request_id": request.request_id,
            "fingerprint": request.fingerprint,
            "repeat": request.repeat,
            "lane": request.lane,
            "usage": self.usage,
            "prompt": request.prompt,
        }
        return json.dumps(data) + "\n"


class RequestLog:
    """The requests of a simulator. Only its event loop writes.

    Args:
        path: file to which a line of JSON is appended when a request has ended; None for no file.
        keep: whether requests are kept in memory; without, only the counters are.
    """

    def __init__(self, path: Path | None, *, keep: bool) -> None:
        self._path = path
        self._keep = keep
        self._file: TextIO | None = None
        self.in_flight = 0
        self.clear()

    def open(self) -> None:
        """Opens the file, if there is one."""
        if self._path is not None:
            self._file = self._path.open("a", encoding="utf-8", buffering=1)  # by line: a killed reader sees whole ones

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def clear(self) -> None:
        """Forgets all requests but how many are in flight; the file stays as it is."""
        self.entries: list[Entry] = []
        self.total = 0
        self.peak_in_flight = self.in_flight
        self.statuses: Counter[int] = Counter()

    def begin(self, request: SimulatedRequest) -> Entry:
        """A request came."""
        entry = Entry(request)
        self.total += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        if self._keep:
            self.entries.append(entry)
        return entry

    def end(self, entry: Entry) -> None:
        """A request was answered, cut off or given up."""
        self.in_flight -= 1
        if entry.status is not None:
            self.statuses[entry.status] += 1
        if self._file is not None:
            self._file.write(entry.line())

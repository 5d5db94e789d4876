"""How soon rows come after a server that refused every call takes them again.

    python -m benchmarks.outage

The server refuses everything for some seconds, from the beginning or after 0.3 s, and then answers each call in 50 ms.
"late" is how long after the end of the outage the last row came, "ideal" how long the rows take without any outage.
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from beam_llmdag import Dag, Item, Model
from beam_llmdag.errors import CallError, ErrorClass
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider

LATENCY_SECONDS = 0.05


class Outage(NamedTuple):
    """A server that says no to all for a while, and what is asked of it."""

    status: int
    rows: int
    in_flight: int
    begin_seconds: float
    seconds: float

    @property
    def error_class(self) -> ErrorClass:
        return "rate_limited" if self.status == 429 else "overloaded"


OUTAGES = [
    Outage(status, *asked)
    for status in (429, 503)
    for asked in ((20, 20, 0.0, 5.0), (1000, 100, 0.0, 1.0), (1000, 100, 0.0, 5.0), (1000, 50, 0.3, 5.0))
]


def seconds_late(outage: Outage) -> tuple[float, int]:
    """How long after the end the last row came, and how many calls were refused."""
    began, refused = time.monotonic(), 0
    end = began + outage.begin_seconds + outage.seconds

    def answer(_: Request) -> str | CallError:
        nonlocal refused
        if began + outage.begin_seconds <= time.monotonic() < end:
            refused += 1
            return CallError(outage.error_class, "no", http_status=outage.status)
        return "fine"

    provider = ScriptedProvider(answer, latency_seconds=LATENCY_SECONDS)
    model = Model("scripted:m", max_in_flight=outage.in_flight)
    dag = Dag("outage", model=model, providers={"scripted": provider})

    @dag.dimension
    def ask(item: Item) -> str:
        return item.id

    report = dag.run([str(number) for number in range(outage.rows)], store=False, progress=False)
    late = time.monotonic() - end
    if report.failures:
        raise RuntimeError(f"{len(report.failures)} rows failed: {report.failures[0].message}")
    return late, refused


def main() -> None:
    """Prints the table."""
    print("| status | rows | in flight | outage from | for | refused | late | ideal |")
    print("|---|---|---|---|---|---|---|---|")
    for outage in OUTAGES:
        late, refused = seconds_late(outage)
        ideal = math.ceil(outage.rows / outage.in_flight) * LATENCY_SECONDS
        asked = (
            f"{outage.status} | {outage.rows} | {outage.in_flight} | {outage.begin_seconds:g} s | {outage.seconds:g} s"
        )
        print(f"| {asked} | {refused} | {late:.2f} s | {ideal:.2f} s |", flush=True)


if __name__ == "__main__":
    main()

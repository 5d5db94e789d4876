"""The simulated vendor in a process of its own: `python -m benchmarks.server SETTINGS`.

Prints its address, and on SIGTERM what came over the wire. `python -m beam_llmdag.testing` starts the same simulator;
here the answers come from `benchmarks.graphs`, so that every engine meets the same slow ones.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from beam_llmdag.testing import RateLimit, Reply, SimulatedRequest, Simulator, load_rules
from beam_llmdag.testing.simulator.answers import RuleBook
from benchmarks.graphs import EXAMPLES, SLOW_SECONDS, canned_answer
from benchmarks.traffic import Traffic, read_traffic

__all__ = ["Server", "ServerSettings", "main", "serving"]


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How the vendor behaves.

    Attributes:
        latency_seconds: of an answer that is not a slow one.
        gold: answers of `examples/`; "" for those of `benchmarks.graphs`.
        requests_per_second: rate limit; None for none.
        limit_seconds: how many seconds' worth of that may come at once, after a rest.
        limit_headers: whether answers tell of the rate limit.
        refused: share of requests that are answered 429 with `Retry-After: 1` at random.
        invalid: share of answers that do not fit the schema.
        log: file for the requests.
    """

    latency_seconds: float
    gold: str = ""
    requests_per_second: int | None = None
    limit_seconds: int = 1
    limit_headers: bool = True
    refused: float = 0.0
    invalid: float = 0.0
    log: str = ""


class Answers:
    """What the model says. Remembers which answers were not valid."""

    def __init__(self, settings: ServerSettings) -> None:
        self.invalid: set[tuple[str, int]] = set()
        self._share = settings.invalid
        self._gold = RuleBook(load_rules(EXAMPLES / f"{settings.gold}.gold.jsonl")) if settings.gold else None

    def __call__(self, request: SimulatedRequest) -> Reply:
        """The answer to a request."""
        if self._share and request.chance(0, "invalid") < self._share:
            self.invalid.add((request.fingerprint, request.repeat))
            return Reply({"unexpected": True})
        if self._gold is not None:
            text, slow = json.dumps(self._gold.answer(request)), False
        else:
            text, slow = canned_answer(request.prompt)
        if "```json" in request.text:  # who asks for a code fence instead of the API's own field gets one
            text = f"```json\n{text}\n```"
        return Reply(text, delay_seconds=SLOW_SECONDS if slow else None)


def main() -> None:
    """Serves until SIGTERM."""
    settings = ServerSettings(**json.loads(sys.argv[1]))
    rate, period = settings.requests_per_second, settings.limit_seconds
    answers = Answers(settings)
    simulator = Simulator(
        answers,
        latency=settings.latency_seconds,
        faults={"rate_limited": settings.refused} if settings.refused else None,
        limits=None if rate is None else RateLimit(requests=rate * period, period_seconds=period),
        limit_headers=settings.limit_headers,
        log_path=settings.log,
        keep_requests=False,
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with simulator:
        print(simulator.base_url("anthropic"), flush=True)
        stopped.wait()
    traffic = read_traffic(Path(settings.log), answers.invalid, simulator.peak_in_flight, rate, period)
    print(json.dumps(asdict(traffic)), flush=True)


class Server:
    """A running server process; `traffic` is there when it has ended."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.traffic: Traffic | None = None


@contextmanager
def serving(settings: ServerSettings) -> Iterator[Server]:
    """A server in a process of its own while the context lasts."""
    command = [sys.executable, "-m", "benchmarks.server", json.dumps(asdict(settings))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = Server(process.stdout.readline().strip())
        try:
            yield server
        finally:
            process.terminate()
            told = process.stdout.read()
    server.traffic = Traffic(**json.loads(told))


if __name__ == "__main__":
    main()

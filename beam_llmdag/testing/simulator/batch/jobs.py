"""Batches and their life, whichever vendor's they are."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs

from beam_llmdag.clock import Clock
from beam_llmdag.testing.simulator.batch.behaviour import BatchBehaviour

__all__ = ["Job", "Jobs", "Line", "LineAnswer", "Outcome", "json_lines"]

Outcome = Literal["answered", "expired", "cancelled"]


class LineAnswer(NamedTuple):
    """What a request on its own would have been answered: status, JSON body, the vendor's id of it."""

    status: int
    body: Any
    request_id: str


class Line(NamedTuple):
    """A request of a batch: its custom id, the path that it would have had on its own, its body."""

    custom_id: str
    path: str
    body: Any


@dataclass(eq=False, slots=True, kw_only=True)
class Job:
    """One batch.

    Attributes:
        id: the vendor's.
        lines: its requests.
        created_at: in seconds since 1970-01-01 UTC.
        ends_at: when it ends, by the clock's `monotonic`.
        label: the name that the client gave it.
        about: what else the vendor says of it.
        cancelled: whether the client asked for its end.
        results: what came of each line, in the order of the result files; None while it runs.
        looks: how often it was seen to have ended.
    """

    id: str
    lines: Sequence[Line]
    created_at: float
    ends_at: float
    label: str | None = None
    about: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False
    results: list[tuple[Line, Outcome, LineAnswer | None]] | None = None
    looks: int = 0

    def count(self, outcome: Outcome, *, good: bool | None = None) -> int:
        """How many lines ended so; of those that were answered, with a good answer or with an error."""
        return sum(
            ended == outcome and (good is None or (answer is not None and (answer.status < 400) == good))
            for _, ended, answer in self.results or ()
        )


class Jobs:
    """All batches of one vendor.

    Args:
        behaviour: how they fare.
        answer: answers a line, with the headers of the request that made the batch.
        clock: time.
        seed: of all that is left to chance.
        prefix: of the ids.
    """

    def __init__(
        self,
        behaviour: BatchBehaviour,
        answer: Callable[[Line, Mapping[str, str]], LineAnswer],
        clock: Clock,
        seed: int,
        prefix: str,
    ) -> None:
        self.behaviour = behaviour
        self.all: dict[str, Job] = {}
        self._answer = answer
        self._clock = clock
        self._seed = seed
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._times: Counter[str] = Counter()
        self._headers: dict[str, Mapping[str, str]] = {}

    def new_id(self, prefix: str | None = None) -> str:
        """An id that nothing else has."""
        number = next(self._numbers)
        digest = blake2b(f"{self._seed}/{self._prefix}/{number}".encode(), digest_size=8).hexdigest()
        return f"{self._prefix if prefix is None else prefix}{digest}"

    def add(self, lines: Sequence[Line], headers: Mapping[str, str], **known: Any) -> Job:
        """A new batch."""
        job = Job(
            id=self.new_id(),
            lines=lines,
            created_at=self._clock.now(),
            ends_at=self._clock.monotonic() + self.behaviour.delay_seconds,
            **known,
        )
        self.all[job.id] = job
        self._headers[job.id] = headers
        return job

    def get(self, name: str) -> Job | None:
        """A batch as it is now; None if there is none of that id."""
        job = self.all.get(name)
        if job is None:
            return None
        if job.results is None and (job.cancelled or self._clock.monotonic() >= job.ends_at):
            self._end(job)
        if job.results is not None:
            job.looks += 1
            if job.looks == 2 and self.behaviour.ends_twice:
                job.results.reverse()
        return job

    def runs(self, job: Job) -> bool:
        """Whether a client that looks now sees the batch run."""
        return job.results is None or (self.behaviour.ends_twice and job.looks == 2)

    def newest(self) -> list[Job]:
        """All of them, the newest first."""
        return list(self.all.values())[::-1]

    def page(self, query: str, after: str, shown: Callable[[Job], Any]) -> dict[str, Any]:
        """A page of the list, in the shape that Anthropic and OpenAI have in common.

        Args:
            query: of the request.
            after: the parameter in it that says behind which batch the page begins.
            shown: what is said of a batch.
        """
        asked, known = parse_qs(query), self.newest()
        last = asked.get(after, [""])[0]
        start = next((index + 1 for index, job in enumerate(known) if job.id == last), 0)
        end = start + int(asked.get("limit", ["20"])[0])
        some = known[start:end]
        return {
            "data": [shown(job) for job in some],
            "has_more": len(known) > end,
            "first_id": some[0].id if some else None,
            "last_id": some[-1].id if some else None,
        }

    def end_all(self) -> None:
        """Whatever their delay: they end when somebody looks."""
        for job in self.all.values():
            job.ends_at = self._clock.monotonic()

    def _end(self, job: Job) -> None:
        results = [(line, *self._fate(job, line)) for line in job.lines]
        random.Random(f"{self._seed}/{job.id}").shuffle(results)
        job.results = results

    def _fate(self, job: Job, line: Line) -> tuple[Outcome, LineAnswer | None]:
        if job.cancelled:
            return "cancelled", None
        asked = json.dumps([line.path, line.body], sort_keys=True)  # not its id: the same requests meet the same fate
        self._times[asked] += 1
        chance = random.Random(f"{self._seed}/{asked}/{self._times[asked]}").random()
        if chance < self.behaviour.expired:
            return "expired", None
        if chance < self.behaviour.expired + self.behaviour.failed:
            return "answered", LineAnswer(500, None, "req_failed")
        return "answered", self._answer(line, self._headers[job.id])


def json_lines(records: Sequence[Any]) -> bytes:
    """Records as lines of JSON."""
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()

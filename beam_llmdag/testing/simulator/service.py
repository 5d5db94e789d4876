"""From an HTTP request to what is sent back: limits, scripts, faults, answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import Any

from beam_llmdag.clock import Clock
from beam_llmdag.testing.simulator.answers import AnswerFunction
from beam_llmdag.testing.simulator.batch.api import BatchApi
from beam_llmdag.testing.simulator.batch.behaviour import BatchBehaviour
from beam_llmdag.testing.simulator.batch.jobs import Line, LineAnswer
from beam_llmdag.testing.simulator.faults import Faults, fault_reply
from beam_llmdag.testing.simulator.http import Ending, HttpReply, HttpRequest, encode_response
from beam_llmdag.testing.simulator.latency import Latency
from beam_llmdag.testing.simulator.rate_limits import LimitState, RateLimiter
from beam_llmdag.testing.simulator.reply import Reply, as_reply
from beam_llmdag.testing.simulator.request import SimulatedRequest
from beam_llmdag.testing.simulator.request_log import Entry, RequestLog
from beam_llmdag.testing.simulator.routes import find_route
from beam_llmdag.testing.simulator.wire import Wire
from beam_llmdag.usage import Usage

__all__ = ["Script", "Service"]

_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(slots=True, eq=False, kw_only=True)
class Script:
    """Replies in order, of which the last one repeats, for the requests that `matches` accepts."""

    replies: Sequence[Reply]
    matches: Callable[[SimulatedRequest], bool]
    position: int = field(default=0, init=False)

    def next(self) -> Reply:
        """The reply whose turn it is."""
        reply = self.replies[min(self.position, len(self.replies) - 1)]
        self.position += 1
        return reply


class Service:
    """Answers requests, one at a time and without waiting; what takes time is said in the `HttpReply`.

    Args:
        answer: what the model says.
        faults: which requests go wrong.
        latency: how long answers take; None for no time at all.
        limiter: rate limits.
        limit_headers: whether responses tell of them.
        log: where requests are noted.
        clock: time of the log, of the limits and of dates in headers.
        seed: of all that is left to chance.
        batches: how batches fare.
    """

    def __init__(
        self,
        *,
        answer: AnswerFunction,
        faults: Faults,
        latency: Latency | None,
        limiter: RateLimiter,
        limit_headers: bool,
        log: RequestLog,
        clock: Clock,
        seed: int,
        batches: BatchBehaviour,
    ) -> None:
        self.batches = BatchApi(batches, self._answer_line, clock, seed)
        self.scripts: list[Script] = []
        self._answer = answer
        self._faults = faults
        self._latency = latency
        self._limiter = limiter
        self._limit_headers = limit_headers
        self._log = log
        self._clock = clock
        self._seed = seed
        self._seen: dict[bytes, int] = {}

    def reset(self) -> None:
        """Forgets scripts and requests and fills up the rate limits."""
        self.scripts.clear()
        self._log.clear()
        self._limiter.reset()
        self._seen.clear()
        self.batches.reset()

    def handle(self, http: HttpRequest) -> HttpReply:
        """What to do with a request."""
        route = find_route(http.path)
        if route is None and (managed := self.batches.handle(http)) is not None:
            return managed
        if route is None or http.method != "POST":
            what = f"the simulator has no {http.method} {http.path}"
            return _plain(404, {"error": {"message": what, "type": "not_found"}})
        wire, model = route
        try:
            request = self._read(wire, model, http)
        except ValueError as error:
            return _plain(400, wire.error(400, Reply(message=str(error)), "req_unreadable"))
        entry = self._log.begin(request)
        limits = self._limiter.admit(request, self._clock.monotonic())
        try:
            reply = _refusal(limits) if limits is not None and limits.refused else self._reply(request)
            return self._send(wire, entry, reply, limits)
        except Exception as error:  # noqa: BLE001 - functions and data of the user, which may raise anything
            # becomes an error that clients do not retry: a bug in a test must not look like a fault of a vendor
            message = f"an answer function or script of the simulator raised {type(error).__name__}: {error}"
            return self._send(wire, entry, Reply(status=400, message=message), limits)

    def _answer_line(self, line: Line, headers: Mapping[str, str]) -> LineAnswer:
        """What a request of a batch is answered."""
        route = find_route(line.path)
        if route is None:
            return LineAnswer(404, None, "req_unknown")
        wire, model = route
        body = _ENCODER.encode(line.body).encode()
        http = HttpRequest(method="POST", path=line.path, headers=headers, body=body, keep_alive=True)
        try:
            request = replace(self._read(wire, model, http), lane="batch")
        except ValueError as error:
            return LineAnswer(400, wire.error(400, Reply(message=str(error)), "req_unreadable"), "req_unreadable")
        entry = self._log.begin(request)
        try:
            reply = self._reply(request)
        except Exception as error:  # noqa: BLE001 - as above
            reply = Reply(status=400, message=f"the answer function raised {type(error).__name__}: {error}")
        self._count(wire, entry, reply)
        content = _body(wire, request, reply, entry.usage)
        self._ended(entry, reply, "sent")
        try:
            return LineAnswer(reply.status, json.loads(content), request.request_id)
        except ValueError:
            return LineAnswer(500, None, request.request_id)

    def _read(self, wire: Wire, model: str | None, http: HttpRequest) -> SimulatedRequest:
        """The request as the API understands it.

        Raises:
            ValueError: the API would not understand it either.
        """
        try:
            body = json.loads(http.body)
        except ValueError as error:
            raise ValueError(f"the request body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise ValueError("the request body is not a JSON object")
        if body.get("stream"):
            raise ValueError("the simulator does not stream")
        name = model or body.get("model")
        if not isinstance(name, str):
            raise ValueError("model: Field required")
        try:
            asked = wire.read(body)
        except (AttributeError, TypeError) as error:
            raise ValueError(f"the request is not valid: {error}") from error
        key = blake2b(b"%s\n%s" % (http.path.encode(), http.body), digest_size=8).digest()
        repeat = self._seen.get(key, 0)
        self._seen[key] = repeat + 1
        return SimulatedRequest(
            protocol=wire.protocol,
            path=http.path,
            model=name,
            system=asked.system,
            messages=asked.messages,
            schema=asked.schema,
            body=body,
            raw=http.body,
            headers=http.headers,
            received_at=self._clock.now(),
            fingerprint=key.hex(),
            repeat=repeat,
        )

    def _reply(self, request: SimulatedRequest) -> Reply:
        for script in self.scripts:
            if script.matches(request):
                return script.next()
        reply = as_reply(self._answer(request))
        fault = self._faults.choose(request, self._seed)
        return reply if fault is None else fault_reply(fault, request, reply)

    def _send(self, wire: Wire, entry: Entry, reply: Reply, limits: LimitState | None) -> HttpReply:
        request = entry.request
        usage = self._count(wire, entry, reply)
        if usage is not None and limits is not None and not limits.refused:
            limits = self._limiter.charge_output(request.model, usage.output_tokens, self._clock.monotonic())
        body = _body(wire, request, reply, entry.usage)
        headers = _headers(wire, request, reply)
        if limits is not None and self._limit_headers:
            headers.update(wire.limit_headers(limits, request.received_at))
        data = encode_response(reply.status, {**headers, **_lower(reply.headers)}, body)
        return HttpReply(
            data=data[: len(data) - ceil(len(body) / 2)] if reply.truncate else data,
            delay_seconds=self._delay(request, reply, limits),
            hang=reply.hang,
            drop=reply.drop,
            close=reply.truncate,
            ended=partial(self._ended, entry, reply),
        )

    def _count(self, wire: Wire, entry: Entry, reply: Reply) -> Usage | None:
        """Notes the tokens that a reply says; returns them where the simulator has counted them."""
        is_answer = reply.status < 400 and reply.json is None and reply.body is None
        usage = reply.usage_for(entry.request) if is_answer else None
        entry.usage = wire.usage(usage) if isinstance(usage, Usage) else usage
        return usage if isinstance(usage, Usage) else None

    def _delay(self, request: SimulatedRequest, reply: Reply, limits: LimitState | None) -> float:
        if reply.delay_seconds is not None:
            return reply.delay_seconds
        if limits is not None and limits.refused:
            return 0.0
        return 0.0 if self._latency is None else self._latency(request.chance(self._seed, "latency"))

    def _ended(self, entry: Entry, reply: Reply, ending: Ending) -> None:
        if ending == "hung_up":
            entry.closed_by_client_at = self._clock.now()
        else:
            entry.finished_at = self._clock.now()
        if ending == "sent":
            entry.status = reply.status
        else:
            entry.usage = None
        self._log.end(entry)


def _refusal(limits: LimitState) -> Reply:
    what = (limits.refused or "").replace("_", " ")
    seconds = ceil(limits.retry_after_seconds * 1000) / 1000
    return Reply(status=429, message=f"Rate limit reached: {what}.", retry_after=seconds)


def _body(wire: Wire, request: SimulatedRequest, reply: Reply, usage: Mapping[str, Any] | None) -> bytes:
    if reply.body is not None:
        return reply.body if isinstance(reply.body, bytes) else reply.body.encode("utf-8", "surrogatepass")
    if reply.json is not None:
        data = reply.json
    elif reply.status >= 400:
        data = wire.error(reply.status, reply, request.request_id)
    else:
        data = wire.answer(request, reply, usage)
    body = _ENCODER.encode(data).encode()
    return body[: len(body) // 2] if reply.malformed else body


def _headers(wire: Wire, request: SimulatedRequest, reply: Reply) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    if wire.request_id_header is not None:
        headers[wire.request_id_header] = request.request_id
    if isinstance(reply.retry_after, str):
        headers["retry-after"] = reply.retry_after
    elif reply.retry_after is not None:
        headers["retry-after"] = str(ceil(reply.retry_after))
        if wire.protocol.startswith("openai"):
            headers["retry-after-ms"] = str(ceil(reply.retry_after * 1000))
    return headers


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _plain(status: int, data: Mapping[str, Any]) -> HttpReply:
    body = json.dumps(data).encode()
    response = encode_response(status, {"content-type": "application/json"}, body)
    return HttpReply(data=response, ended=lambda _ending: None)

"""A loopback server that speaks the APIs of the LLM vendors, for tests, demonstrations and measurements."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from beam_llmdag.clock import Clock, SystemClock
from beam_llmdag.testing.simulator.answers import Answers, answer_function
from beam_llmdag.testing.simulator.batch.behaviour import BatchBehaviour
from beam_llmdag.testing.simulator.batch.jobs import Job
from beam_llmdag.testing.simulator.faults import FaultName, Faults
from beam_llmdag.testing.simulator.http import HttpConnection
from beam_llmdag.testing.simulator.latency import Latency, constant
from beam_llmdag.testing.simulator.rate_limits import RateLimit, RateLimiter
from beam_llmdag.testing.simulator.reply import AnswerValue, as_reply
from beam_llmdag.testing.simulator.request import ApiProtocol, LoggedRequest, SimulatedRequest
from beam_llmdag.testing.simulator.request_log import RequestLog
from beam_llmdag.testing.simulator.routes import BASE_PATHS
from beam_llmdag.testing.simulator.service import Script, Service

__all__ = ["Simulator"]

_HOST = "127.0.0.1"


class Simulator:
    """A server on 127.0.0.1 that speaks Anthropic's, OpenAI's and Google's wire formats. A context manager.

    It runs in a daemon thread of this process. What is left to chance (faults, latency, made-up answers) depends on
    `seed` and on the request, not on the order of arrival: the same requests meet the same fate in every run.

    Args:
        answers: what the model says: a function from `SimulatedRequest` to a text, JSON data or a `Reply`, called on
            the server's thread; or rules, of which the first that matches answers; None makes up values that fit the
            schema of the request.
        latency: time from request to answer; `constant`, `lognormal` and `with_tail` make one; a number means seconds;
            None answers at once.
        faults: name of a fault -> share of the requests that meet it.
        limits: rate limits of each model, or by the vendor's name of the model; None for no limits.
        limit_headers: whether responses tell of the rate limits, where the vendor's do.
        seed: of all that is left to chance.
        port: 0 takes any free one.
        log_path: file to which one line of JSON is appended for each request that has ended.
        keep_requests: False keeps no request in memory, only counters: for millions of them.
        clock: time of the log, of the rate limits and of dates in headers.
        batches: how batches fare; by default they end at once.

    Raises:
        ValueError: unknown faults or probabilities that make no sense.

    Example:
        >>> with Simulator(answers=lambda request: {"label": "positive"}) as sim:
        ...     client = anthropic.Anthropic(base_url=sim.base_url("anthropic"), api_key="any")
        ...     client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}])
    """

    def __init__(
        self,
        answers: Answers | None = None,
        *,
        latency: Latency | float | None = None,
        faults: Mapping[FaultName, float] | None = None,
        limits: RateLimit | Mapping[str, RateLimit] | None = None,
        limit_headers: bool = True,
        seed: int = 0,
        port: int = 0,
        log_path: str | Path | None = None,
        keep_requests: bool = True,
        clock: Clock | None = None,
        batches: BatchBehaviour | None = None,
    ) -> None:
        self._port = port
        self._log = RequestLog(None if log_path is None else Path(log_path), keep=keep_requests)
        self._service = Service(
            answer=answer_function(answers, seed),
            faults=Faults(faults or {}),
            latency=latency if callable(latency) or latency is None else constant(latency),
            limiter=RateLimiter(limits),
            limit_headers=limit_headers,
            log=self._log,
            clock=clock or SystemClock(),
            seed=seed,
            batches=batches or BatchBehaviour(),
        )
        self._connections: set[HttpConnection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts to listen; returns when requests can be sent.

        Raises:
            RuntimeError: it runs already.
            OSError: the port is taken, or the log file cannot be opened.
        """
        if self._loop is not None:
            raise RuntimeError("the simulator runs already")
        self._log.open()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="llm-simulator", daemon=True)
        self._thread.start()
        try:
            self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError:
            self._stop_loop(self._loop)
            raise
        self._port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Stops listening and resets all connections, those with a request in flight too. Does nothing when stopped."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._stop_loop(self._loop)

    @property
    def url(self) -> str:
        """Address of the server, such as `http://127.0.0.1:8123`.

        Raises:
            RuntimeError: it does not run.
        """
        if self._loop is None:
            raise RuntimeError("the simulator does not run: use `with Simulator() as sim:` or start() it")
        return f"http://{_HOST}:{self._port}"

    def base_url(self, provider: str) -> str:
        """What the SDK of `provider` (`"anthropic"`, `"openai"`, `"google"`) wants as its base URL.

        Raises:
            ValueError: a provider that the simulator does not know.
        """
        if provider not in BASE_PATHS:
            raise ValueError(f"no provider {provider!r}: there are {', '.join(BASE_PATHS)}")
        return self.url + BASE_PATHS[provider]

    def script(
        self,
        replies: Sequence[AnswerValue],
        *,
        when: Callable[[SimulatedRequest], bool] | None = None,
        protocol: ApiProtocol | None = None,
        model: str | None = None,
    ) -> None:
        """Answers requests with `replies` in order, of which the last one repeats, in place of answers and faults.

        Of several scripts, the one that was added first answers the requests that it matches.

        Args:
            replies: at least one; texts and JSON data are answers.
            when: matches requests; None for all.
            protocol: matches requests to this API only.
            model: matches requests to this model only.

        Raises:
            ValueError: no replies.
        """
        if not replies:
            raise ValueError("a script needs at least one reply")

        def matches(request: SimulatedRequest) -> bool:
            return (
                (protocol is None or request.protocol == protocol)
                and (model is None or request.model == model)
                and (when is None or when(request))
            )

        self._service.scripts.append(Script(replies=[as_reply(reply) for reply in replies], matches=matches))

    @property
    def requests(self) -> list[LoggedRequest]:
        """All requests in the order of their arrival, as far as they have come now."""
        return [entry.snapshot() for entry in list(self._log.entries)]

    @property
    def batches(self) -> list[Job]:
        """All batches that were taken, vendor by vendor, the oldest first."""
        return self._service.batches.jobs

    @property
    def batch_calls(self) -> list[tuple[str, str]]:
        """Method and path of all requests to the batch APIs; those of the batches themselves are in `requests`."""
        return list(self._service.batches.calls)

    def end_batches(self) -> None:
        """All batches end now, whatever their delay."""
        self._service.batches.end_all()

    @property
    def request_count(self) -> int:
        """How many requests have come, those included that `keep_requests=False` did not keep."""
        return self._log.total

    @property
    def in_flight(self) -> int:
        """Requests that have come and are neither answered nor given up."""
        return self._log.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The highest `in_flight` so far."""
        return self._log.peak_in_flight

    @property
    def statuses(self) -> Counter[int]:
        """HTTP status -> how many answers with it were sent."""
        return Counter(self._log.statuses)

    def reset(self) -> None:
        """Forgets scripts and requests and fills up the rate limits; answers, faults and latency stay."""
        self._service.reset()

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        make = self._service.handle, self._connections
        return await loop.create_server(lambda: HttpConnection(*make), _HOST, self._port, backlog=4096)

    async def _close(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # connections learn of their end in the next turn of the loop

    def _stop_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join()
        loop.close()
        self._loop = self._thread = None
        self._log.close()

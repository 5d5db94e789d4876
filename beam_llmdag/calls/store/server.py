"""What answer stores on servers have in common: jobs go in batches, and a server that is away is waited for."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from abc import abstractmethod
from collections.abc import Sequence

from beam_llmdag.calls.address import filled_in, without_secrets
from beam_llmdag.calls.store.answers import Later
from beam_llmdag.calls.store.jobs import Job, JobStore, Outcome, outcomes, tell
from beam_llmdag.calls.store.rows import Lines
from beam_llmdag.errors import StoreError
from beam_llmdag.telling import told

__all__ = ["CLAIMED_SECONDS", "ServerStore", "address_of"]

_log = logging.getLogger(__name__)

CLAIMED_SECONDS = 20
"""A claim of a process that has died ends after so long; a guess: longer than an event loop stands still."""

_LOOK_AGAIN_SECONDS = 0.5  # for a server that does not answer; a guess
_ANSWER_SECONDS = 60.0  # for one batch; a server that takes longer is taken for one that is away


def address_of(url: str) -> tuple[str, str]:
    """The URL of a server with the environment's variables in it, and what of it may be shown.

    Raises:
        StoreError: a variable is not set.
    """
    try:
        known = filled_in(url)
    except ValueError as error:
        raise StoreError(f"the address of the answer store {error}") from None
    return known, without_secrets(known)


class ServerStore(JobStore):
    """An `AnswerStore` on a server: for all processes that reach it.

    All jobs that come up while a batch is on its way make the next one, so that calls share round trips and commits.
    A job is done when the server has said so. A server that is away is waited for, with every job that it has not
    confirmed: what was paid for is written when it is back, and once, since calls have numbers. If it stays away, that
    is an error that ends the run.

    Belongs to one event loop at a time.

    Args:
        url: the server's; `$NAME` in it is a variable of this process' environment.
        patience_seconds: how long a server that is away is waited for.

    Raises:
        StoreError: a variable is not set.
    """

    claims = True

    def __init__(self, url: str, *, patience_seconds: float = 30.0) -> None:
        super().__init__()
        self.holder = uuid.uuid4().hex
        self._claims: set[str] = set()
        self._holding: asyncio.Task[None] | None = None
        self._url, self.place = address_of(url)
        self._patience_seconds = patience_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: list[Job] = []
        self._working: asyncio.Task[None] | None = None
        self._is_open = False
        self._warned = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    @abstractmethod
    async def _open(self) -> None:
        """Connects, and makes what must be there.

        Raises:
            StoreError: waiting does not help.
            Exception: the server is away.
        """

    async def claim(self, key: str) -> bool:
        """See `AnswerStore`. Held for `CLAIMED_SECONDS`, and for longer as long as this process says so."""
        self._come_to_this_loop()
        if key in self._claims:  # another run of this process has it
            return False
        self._claims.add(key)
        taken: bool = False
        try:
            taken = await self._done(claim=key)
        finally:
            if not taken:
                self._claims.discard(key)
        if self._holding is None:
            self._holding = asyncio.get_running_loop().create_task(self._hold())
        return taken

    def give_back(self, key: str) -> None:
        """See `AnswerStore`."""
        self._claims.discard(key)
        self._enter(Job(free=key))

    async def _hold(self) -> None:
        try:
            while self._claims:
                await asyncio.sleep(CLAIMED_SECONDS / 4)
                if self._claims:
                    self._enter(Job(claimed=sorted(self._claims)))
        finally:
            self._holding = None

    @abstractmethod
    async def _run(self, jobs: Sequence[Job]) -> tuple[Lines, dict[Job, int | Later | bool]]:
        """Writes what is to be written, looks up all keys of the jobs, and says what else they want to know.

        What was written before is not again. What was drawn before is: a reply that is lost costs a part of a budget.
        """

    @abstractmethod
    async def _close(self) -> None:
        """Gives up the connection, if there is one."""

    @abstractmethod
    def _is_final(self, error: Exception) -> bool:
        """Whether the server would say the same again."""

    async def aclose(self) -> None:
        """Finishes what is being written and disconnects; the next use connects again."""
        if self._holding is not None:
            self._holding.cancel()
        if self._working is not None:
            await asyncio.wait([self._working])
        await self._drop()

    def _come_to_this_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # another one has ended without aclose()
            self._loop, self._jobs, self._working, self._is_open = loop, [], None, False
            self._claims, self._holding = set(), None
        return loop

    def _enter(self, job: Job) -> None:
        loop = self._come_to_this_loop()
        self._jobs.append(job)
        if self._working is None:
            self._working = loop.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._jobs:
                await asyncio.sleep(0)  # what else comes up in this turn of the loop goes along
                jobs, self._jobs = self._jobs, []
                tell(jobs, await self._outcome(jobs))
        finally:
            self._working = None

    async def _outcome(self, jobs: list[Job]) -> list[Outcome] | StoreError:
        until = time.monotonic() + self._patience_seconds
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if not self._is_open:
                        await self._open()
                        self._is_open = True
                    lines, special = await self._run(jobs)
                self._warn(lines)
                return outcomes(jobs, lines, special)
            except StoreError as error:
                await self._drop()
                return error
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                await self._drop()
                if self._is_final(error) or time.monotonic() > until:
                    return StoreError(
                        f"answer store {self.place}: {told(error)}. Is that address right, does the server run, and "
                        "may this worker connect to it, with this user and password? What was paid for is in it, up "
                        "to the calls in flight"
                    )
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _drop(self) -> None:
        self._is_open = False
        try:
            await self._close()
        except Exception as error:  # noqa: BLE001 - it is of no use any more
            _log.debug("answer store %s: not closed: %s", self.place, type(error).__name__)

    def _warn(self, lines: Lines) -> None:
        if lines.unreadable and not self._warned:
            self._warned = True
            _log.warning(
                "answer store %s: a row that cannot be read is no answer; what it was an answer to is asked again",
                self.place,
            )

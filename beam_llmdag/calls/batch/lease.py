"""Leave to do what only one process may do at a time, for as long as it lives."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from beam_llmdag.calls.store.documents import Documents
from beam_llmdag.clock import Clock

__all__ = ["Lease"]

_SECONDS = 300.0  # for which it is taken
_RENEWED_SECONDS = 60.0  # after so long it is taken for longer, whatever its holder does meanwhile
_LOOK_AGAIN_SECONDS = 0.5


class Lease:
    """A lease in the store.

    Who dies gives it back by that, at once on its own machine, else when the time is over.

    Args:
        documents: of the answer store.
        name: what is to be done.
        clock: time.
    """

    def __init__(self, documents: Documents, name: str, clock: Clock) -> None:
        self._documents = documents
        self._name = name
        self._clock = clock
        self._text: str | None = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Waits until nobody has it, and holds it."""
        while not self._take():
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)
        renewing = asyncio.create_task(self._renew_often())
        try:
            yield
        finally:
            renewing.cancel()
            text, self._text = self._text, None
            if text is not None:
                self._documents.swap("leases", self._name, text, _FREE)

    async def _renew_often(self) -> None:
        while True:
            await asyncio.sleep(_RENEWED_SECONDS)
            self.renew()

    def renew(self) -> None:
        """Holds it for longer."""
        text = self._mine()
        if self._text is not None and self._documents.swap("leases", self._name, self._text, text):
            self._text = text

    def _take(self) -> bool:
        there = self._documents.get("leases", self._name)
        if there is not None and self._is_held(there):
            return False
        text = self._mine()
        if not self._documents.swap("leases", self._name, there, text):
            return False
        self._text = text
        return True

    def _mine(self) -> str:
        until = self._clock.now() + _SECONDS
        return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "until": until, "id": uuid.uuid4().hex})

    def _is_held(self, text: str) -> bool:
        holder = json.loads(text)
        if holder.get("until", 0.0) <= self._clock.now():
            return False
        return holder["host"] != socket.gethostname() or _lives(holder["pid"])


_FREE = json.dumps({"until": 0.0})


def _lives(pid: int) -> bool:
    with suppress(PermissionError):  # it is another user's, and lives
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True

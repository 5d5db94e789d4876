"""How many calls one process may have in flight per model. Limits are shared by all that runs in the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from beam_llmdag.model import Model

__all__ = ["Limits"]


class Limits:
    """Permits for calls, per model and server. Belongs to one event loop."""

    def __init__(self) -> None:
        self._permits: dict[tuple[str, str | None, int], asyncio.Semaphore] = {}

    @asynccontextmanager
    async def permit(self, model: Model, default_in_flight: int) -> AsyncIterator[None]:
        """Holds one of the model's permits, waiting in line for it."""
        in_flight = model.max_in_flight or default_in_flight
        key = (model.spec, model.base_url, in_flight)
        permits = self._permits.get(key)
        if permits is None:
            permits = self._permits[key] = asyncio.Semaphore(in_flight)
        async with permits:
            yield

"""How many calls one process may have in flight per model. Limits are shared by all that runs in the process."""

from __future__ import annotations

import asyncio

from beam_llmdag.model import Model

__all__ = ["Limits"]


class Limits:
    """Permits for calls, per model and server. Belongs to one event loop."""

    def __init__(self) -> None:
        self._permits: dict[tuple[str, str | None, int], asyncio.Semaphore] = {}

    def permits(self, model: Model, default_in_flight: int) -> asyncio.Semaphore:
        """The model's permits: `async with` it waits in line for one and holds it.

        Args:
            model: its `max_in_flight` says how many there are.
            default_in_flight: how many there are where it does not.
        """
        in_flight = model.max_in_flight or default_in_flight
        key = (model.spec, model.base_url, in_flight)
        permits = self._permits.get(key)
        if permits is None:
            permits = self._permits[key] = asyncio.Semaphore(in_flight)
        return permits

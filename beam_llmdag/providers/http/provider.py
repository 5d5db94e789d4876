"""What all providers that speak HTTP have in common: one request, one reply, read with suspicion."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from beam_llmdag.clock import Clock, SystemClock
from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Model, Request, WireSchema
from beam_llmdag.providers.dialects import VendorDialect, wire_schema
from beam_llmdag.providers.http.access import Access
from beam_llmdag.providers.http.connections import never_sent, root_cause, timed_out
from beam_llmdag.providers.http.environment import check_environment
from beam_llmdag.providers.http.failure import failure, no_answer, redirected
from beam_llmdag.providers.http.key_filter import KeyFilter
from beam_llmdag.providers.http.limit_headers import limit_states
from beam_llmdag.providers.http.reply import Reply, error_in
from beam_llmdag.providers.http.usage_report import UsageError
from beam_llmdag.text import name_text
from beam_llmdag.usage import Usage

__all__ = ["HttpProvider"]

_NOTHING = Usage()


class HttpProvider(ABC):
    """A provider over one vendor's SDK.

    A subclass knows the vendor: how a request is written and sent, and how an answer, its usage and its errors read.

    Args:
        model: whose `base_url`, `api_key_env`, `headers` and `query` hold for all calls.
        access: address and key.
        clock: where "now" comes from when a vendor names a moment to wait for.

    Raises:
        GraphError: the address, which may be from the environment, cannot be used.
    """

    default_in_flight: int = 64
    default_max_tokens: ClassVar[int | None] = None
    dialect: ClassVar[VendorDialect]
    model_field: ClassVar[str] = "model"
    id_field: ClassVar[str] = "id"

    def __init__(self, model: Model, access: Access, clock: Clock | None) -> None:
        self.model = model
        self.access = access
        access.check()
        self._clock = clock or SystemClock()
        self._key_filter: KeyFilter | None = None
        self._secret: asyncio.Task[None] | None = None

    @property
    def endpoint(self) -> str | None:
        """Address of the server; None for the vendor's own. Part of what can change an answer."""
        return self.access.endpoint

    def use_clock(self, clock: Clock) -> None:
        """See `Clocked`."""
        self._clock = clock

    def wire_schema(self, schema: Mapping[str, Any]) -> WireSchema:
        """See `Provider`."""
        return wire_schema(schema, self.dialect)

    def key(self) -> str | None:
        """See `Provider`."""
        return self.access.key()

    async def answer(self, request: Request) -> Answer:
        """See `Provider`."""
        await self._ready()
        return self._answer_of(await self._send(request), self._url(request))

    def answer_in(self, status: int, body: Any, request_id: str | None) -> Answer:
        """The answer in a response that did not come by HTTP; see `Batches.read`."""
        headers = {"request-id": request_id} if request_id else {}
        known = Reply(status=status, headers=headers, body=self.access.hidden_in(body))
        return self._answer_of(known, None)

    def _answer_of(self, reply: Reply, asked: str | None) -> Answer:
        """The answer in a reply.

        Raises:
            CallError: there is none.
        """
        if 300 <= reply.status < 400:
            raise redirected(reply)
        body = reply.body if isinstance(reply.body, Mapping) else {}
        usage = self._believed_usage(body)
        failed = reply if reply.status >= 400 or error_in(reply.body) is not None else self._error_within(reply)
        if failed is not None:
            raise failure(failed, self.access, self._clock.now(), usage, asked=asked)
        answer = self._read(body)
        if answer is None:
            raise no_answer(reply, usage)
        return replace(
            answer,
            usage=None if usage == _NOTHING else usage,  # an answer of no tokens: nobody counted them
            model_name=name_text(body.get(self.model_field)),
            request_id=reply.request_id or name_text(body.get(self.id_field)),
            limits=limit_states(reply.headers, self._clock.now()),
        )

    async def aclose(self) -> None:
        """See `Provider`."""
        if self._key_filter is not None:
            self._key_filter.remove()
            self._key_filter = None
        await self._close_client()

    def _believed_usage(self, body: Mapping[str, Any]) -> Usage | None:
        try:
            return self._usage(body)
        except UsageError:
            return None

    async def _ready(self) -> None:
        """Reads the key, if it is where only this can read it."""
        if self.access.lacks_secret:
            await self._read_secret()

    def _object_in(self, reply: Reply) -> Mapping[str, Any]:
        """The JSON object in a reply to a request that asks no model.

        Raises:
            CallError: there is none, or an error.
        """
        if 300 <= reply.status < 400:
            raise redirected(reply)
        if reply.status >= 400 or error_in(reply.body) is not None:
            raise failure(reply, self.access, self._clock.now())
        if not isinstance(reply.body, Mapping):
            raise no_answer(reply, None)
        return reply.body

    async def _read_secret(self) -> None:
        """Reads the key, once for all calls that wait for it; a call that is given up takes it from nobody else."""
        if self._secret is None or self._secret.done():
            self._secret = asyncio.create_task(self.access.read_secret())
        await asyncio.shield(self._secret)

    def _key_to_send(self) -> str:
        """The key for a new client; from now on it is kept out of the SDK's log lines.

        Raises:
            CallError: there is none, or nothing can be sent from this environment.
        """
        check_environment()
        key = self.access.key_to_send()
        if self._key_filter is None:
            self._key_filter = KeyFilter(self.access)
            self._key_filter.install()
        return key

    def _unsendable(self, error: Exception) -> CallError:
        """The error for a request that the SDK could not even write."""
        return CallError("bad_request", self._told("the request could not be written", error), sent=False)

    def _unanswered(self, seconds: float, error: BaseException) -> CallError:
        """The error for a request on which no complete response came."""
        if timed_out(error):
            message = f"no answer within {seconds:g} seconds"
            return CallError("timeout", message, sent=not never_sent(error))
        return CallError("connection", self._told("no HTTP answer", root_cause(error)), sent=not never_sent(error))

    def _told(self, what: str, error: BaseException) -> str:
        return f"{what}: {type(error).__name__}: {self.access.hidden(str(error))[:300]}"

    def _url(self, request: Request) -> str | None:
        """The address that a request goes to; None for the vendor's own server."""
        base = self.access.address.base
        return None if base is None else base + self._path(request)

    @abstractmethod
    def _path(self, request: Request) -> str:
        """What the SDK puts behind the base URL for a request."""

    @abstractmethod
    async def _send(self, request: Request) -> Reply:
        """Sends a request and waits for what comes back, whatever its status.

        Raises:
            CallError: `timeout`, `connection` or `bad_request`, if nothing came back.
        """

    @abstractmethod
    def _read(self, body: Mapping[str, Any]) -> Answer | None:
        """The text, stop reason and refusal in a JSON object; None if there is no answer in it.

        What else stands there is read apart from it: it is nothing to lose a paid answer for.
        """

    def _error_within(self, reply: Reply) -> Reply | None:  # noqa: ARG002 - most vendors have no such place
        """The error in a place of this API's own, as a reply; None if there is none."""
        return None

    @abstractmethod
    def _usage(self, body: Mapping[str, Any]) -> Usage | None:
        """The tokens that a JSON object names.

        Raises:
            UsageError: they cannot be believed.
        """

    @abstractmethod
    async def _close_client(self) -> None:
        """Closes the SDK's client, if there is one."""

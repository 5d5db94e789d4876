"""What providers over the SDKs of Anthropic and OpenAI have in common: both are generated alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import aiohttp
import httpx2

from beam_llmdag.clock import Clock
from beam_llmdag.model import Model, Request
from beam_llmdag.providers.http.access import Access
from beam_llmdag.providers.http.body import text_of
from beam_llmdag.providers.http.provider import HttpProvider
from beam_llmdag.providers.http.reply import Reply, read_reply

__all__ = ["SdkProvider"]

_MANAGING_SECONDS = 120.0
_FILE_SECONDS = 1800.0

Method = Literal["GET", "POST"]


class SdkProvider(HttpProvider):
    """A provider over a client that has `get` and `post`.

    Args:
        model, access, clock: see `HttpProvider`.

    Attributes:
        status_error, connection_error: what the SDK raises.
    """

    status_error: ClassVar[type[Any]]
    connection_error: ClassVar[type[Exception]]

    def __init__(self, model: Model, access: Access, clock: Clock | None) -> None:
        super().__init__(model, access, clock)
        self._client: Any = None
        self._file_client: Any = None

    @abstractmethod
    def body(self, request: Request) -> dict[str, Any]:
        """The JSON body of a request."""

    @abstractmethod
    def _new_client(self, *, for_files: bool) -> Any:
        """A client of the SDK; one for files reads longer bodies."""

    async def managed(self, method: Method, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """What the API says to a request that asks no model.

        Raises:
            CallError: it was not done.
        """
        await self._ready()
        response = await self._response(method, path, body, _MANAGING_SECONDS if body is None else _FILE_SECONDS)
        return self._object_in(self._reply(response))

    async def uploaded(self, name: str, content: bytes) -> Mapping[str, Any]:
        """What the API says to a file with the requests of a batch.

        Raises:
            CallError: it does not take it.
        """
        await self._ready()
        response = await self._response("POST", "/files", {"purpose": "batch"}, _FILE_SECONDS, file=(name, content))
        return self._object_in(self._reply(response))

    async def downloaded(self, path: str) -> bytes:
        """A file.

        Raises:
            CallError: it does not come.
        """
        await self._ready()
        response = await self._response("GET", path, None, _FILE_SECONDS, for_files=True)
        if response.status_code != httpx2.codes.OK:
            self._object_in(self._reply(response))
        return response.content

    async def _send(self, request: Request) -> Reply:
        path, seconds = self._path(request), request.model.timeout_seconds
        return self._reply(await self._response("POST", path, self.body(request), seconds))

    async def _response(
        self,
        method: Method,
        path: str,
        body: Mapping[str, Any] | None,
        seconds: float,
        *,
        file: tuple[str, bytes] | None = None,
        for_files: bool = False,
    ) -> httpx2.Response:
        """What comes back, whatever its status.

        Raises:
            CallError: `timeout`, `connection` or `bad_request`, if nothing came back.
        """
        options: dict[str, Any] = {"timeout": seconds, "max_retries": 0}
        try:
            client = self._client_here(for_files=for_files)
            if method == "GET":
                response = await client.get(path, cast_to=httpx2.Response, options=options)
            elif file is None:
                response = await client.post(path, cast_to=httpx2.Response, body=body, options=options)
            else:
                options["headers"] = {"Content-Type": "multipart/form-data"}
                response = await client.post(
                    path, cast_to=httpx2.Response, body=body, files=[("file", file)], options=options
                )
        except self.status_error as error:
            response = error.response
        except (self.connection_error, aiohttp.ClientError, OSError) as error:
            raise self._unanswered(seconds, error) from None
        except (TypeError, ValueError, httpx2.InvalidURL) as error:
            raise self._unsendable(error) from None
        known: httpx2.Response = response
        return known

    def _reply(self, response: httpx2.Response) -> Reply:
        return read_reply(response.status_code, response.headers, text_of(response.content), self.access)

    def _client_here(self, *, for_files: bool) -> Any:
        if for_files:
            self._file_client = self._file_client or self._new_client(for_files=True)
            return self._file_client
        self._client = self._client or self._new_client(for_files=False)
        return self._client

    async def _close_client(self) -> None:
        clients = [client for client in (self._client, self._file_client) if client is not None]
        self._client = self._file_client = None
        for client in clients:
            await client.close()

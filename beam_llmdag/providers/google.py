"""Google's Gemini API, over its SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
from google import genai
from google.genai import errors, types

from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Image, Model, Request
from beam_llmdag.providers.batch.google import GoogleBatches, WrittenBody, written_body
from beam_llmdag.providers.dialects import GOOGLE
from beam_llmdag.providers.http.access import Access
from beam_llmdag.providers.http.body import ASKED_FOR, LONGEST_FILE, WholeResponse
from beam_llmdag.providers.http.certificates import trusting
from beam_llmdag.providers.http.connections import RedirectError, no_redirects, with_query
from beam_llmdag.providers.http.failure import failure, redirected
from beam_llmdag.providers.http.provider import HttpProvider
from beam_llmdag.providers.http.reply import Reply, read_reply
from beam_llmdag.providers.http.request_body import given, mapping
from beam_llmdag.providers.http.stop_reasons import stop_of
from beam_llmdag.providers.http.usage_report import agreed, count, details, part
from beam_llmdag.text import name_text
from beam_llmdag.usage import Usage

__all__ = ["GoogleProvider"]

_FILE_SECONDS = 1800.0


class _WholeFile(WholeResponse):
    """The same for whole files."""

    longest_body = LONGEST_FILE


class GoogleProvider(HttpProvider):
    """Google's Gemini API.

    Args:
        model: for its `base_url` (without the version; else `GOOGLE_GEMINI_BASE_URL`) and `api_key_env` (else
            `GEMINI_API_KEY`, then `GOOGLE_API_KEY`).
        clock: for a Retry-After that is a date.
    """

    dialect = GOOGLE
    model_field = "modelVersion"
    id_field = "responseId"

    def __init__(self, model: Model, *, clock: Clock | None = None) -> None:
        variables = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
        access = Access(
            model=model, key_variables=variables, url_variable="GOOGLE_GEMINI_BASE_URL", added_paths=("/v1beta", "/v1")
        )
        super().__init__(model, access, clock)
        self._client: genai.Client | None = None
        self._session: aiohttp.ClientSession | None = None
        self._writer: genai.Client | None = None
        self._unsent: aiohttp.ClientSession | None = None

    def _path(self, request: Request) -> str:
        return f"/{self._version}/models/{request.model.name}:generateContent"

    @property
    def _version(self) -> str:
        """The version of the API: the one that the address names, else the SDK's own choice."""
        path = (self.endpoint or "").partition("?")[0].rstrip("/")
        return "v1beta" if path.endswith("/v1beta") else "v1"

    async def _send(self, request: Request) -> Reply:
        try:
            client = self._client or self._new_client()
            response = await client.aio.models.generate_content(
                model=request.model.name, contents=_contents(request), config=_config(request)
            )
        except RedirectError as redirect:
            return read_reply(redirect.status, redirect.headers, "", self.access)
        except errors.APIError as error:
            return await self._refusal(request, cast(WholeResponse, error.response))
        except (aiohttp.ClientError, OSError) as error:
            raise self._unanswered(request.model.timeout_seconds, error) from None
        except (TypeError, ValueError) as error:
            raise self._unsendable(error) from None
        raw = response.sdk_http_response or types.HttpResponse()
        return read_reply(200, raw.headers or {}, raw.body or "", self.access)

    async def _refusal(self, request: Request, response: WholeResponse) -> Reply:
        """The reply that an error of the SDK stands for; its body is read here."""
        try:
            return read_reply(response.status, response.headers, await response.text(), self.access)
        except (aiohttp.ClientError, OSError) as error:
            raise self._unanswered(request.model.timeout_seconds, error) from None

    async def body(self, request: Request) -> Mapping[str, Any]:
        """The JSON body of a request, as the SDK writes it."""
        if self._writer is None:
            self._unsent = self._session_with(WholeResponse, written_body)
            self._writer = self._client_over(self._unsent, self._version, key="none")
        try:
            await self._writer.aio.models.generate_content(
                model=request.model.name, contents=_contents(request), config=_config(request)
            )
        except WrittenBody as written:
            return written.body
        except (TypeError, ValueError) as error:
            raise self._unsendable(error) from None
        raise CallError("bad_request", "the SDK did not send the request", sent=False)

    def batches(self) -> GoogleBatches:
        """See `Batched`."""
        return GoogleBatches(self)

    @asynccontextmanager
    async def file_client(self) -> AsyncIterator[genai.client.AsyncClient]:
        """A client that reads whole files; what its calls raise becomes a `CallError`."""
        await self._ready()
        async with self._session_with(_WholeFile) as session:
            client = self._client_over(session, "v1beta", self._key_to_send())
            try:
                yield client.aio
            except RedirectError as redirect:
                raise redirected(read_reply(redirect.status, redirect.headers, "", self.access)) from None
            except errors.APIError as error:
                response = cast(WholeResponse, error.response)
                content = await response.text() if isinstance(response, WholeResponse) else ""
                reply = read_reply(error.code, dict(response.headers or {}), content, self.access)
                raise failure(reply, self.access, self._clock.now()) from None
            except (aiohttp.ClientError, OSError) as error:
                raise self._unanswered(_FILE_SECONDS, error) from None
            except (TypeError, ValueError, KeyError) as error:
                raise CallError("connection", self._told("the API did not do as it should", error)) from None

    def _new_client(self) -> genai.Client:
        self._session = self._session_with(WholeResponse)
        self._client = self._client_over(self._session, self._version, self._key_to_send())
        return self._client

    def _session_with(
        self, response_class: type[WholeResponse], *last: aiohttp.ClientMiddlewareType
    ) -> aiohttp.ClientSession:
        # a pool without a limit of its own: the caller limits the calls in flight
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers=ASKED_FOR,
            response_class=response_class,
            auto_decompress=False,
            trust_env=True,
            middlewares=(no_redirects, with_query(self.access.address.query), *last),
        )

    def _client_over(self, session: aiohttp.ClientSession, version: str, key: str) -> genai.Client:
        certificates = trusting()
        options = types.HttpOptions(
            base_url=self.access.address.base,
            api_version=version,
            headers=dict(self.model.headers),
            aiohttp_client=session,
            retry_options=types.HttpRetryOptions(attempts=1),  # a batch that is made twice is paid twice
            client_args={"verify": certificates},
            async_client_args={"verify": certificates, "ssl": certificates},
        )
        return genai.Client(vertexai=False, api_key=key, http_options=options)

    async def _close_client(self) -> None:
        clients, sessions = (self._client, self._writer), (self._session, self._unsent)
        self._client = self._writer = self._session = self._unsent = None
        for client in clients:
            if client is not None:
                await client.aio.aclose()
        for session in sessions:
            if session is not None:
                await session.close()

    def _read(self, body: Mapping[str, Any]) -> Answer | None:
        candidate = _candidate(body)
        feedback = mapping(body.get("promptFeedback"))
        is_blocked = feedback.get("blockReason") and not _text(candidate)
        if candidate and not is_blocked:
            reason = name_text(candidate.get("finishReason"))
            stop = stop_of(candidate.get("finishReason"))
            words, otherwise = candidate.get("finishMessage"), f"stopped: {reason}"
        elif is_blocked:
            reason, stop = name_text(feedback["blockReason"]), "refusal"
            words, otherwise = feedback.get("blockReasonMessage"), f"prompt blocked: {reason}"
        else:
            return None
        return Answer(
            text=_text(candidate),
            stop=stop,
            stop_reason=reason,
            refusal=(words if words and isinstance(words, str) else otherwise) if stop == "refusal" else None,
        )

    def _usage(self, body: Mapping[str, Any]) -> Usage | None:
        if not body.get("usageMetadata"):
            return None
        usage = details(body["usageMetadata"])
        prompt = count(usage.get("promptTokenCount")) + part(usage.get("toolUsePromptTokenCount"))
        cached, thoughts = part(usage.get("cachedContentTokenCount")), part(usage.get("thoughtsTokenCount"))
        spoken = usage.get("candidatesTokenCount")
        if spoken is None and _text(_candidate(body)):
            # a number that is 0 is left out, but here is a text: only the total tells how long it is
            spoken = count(count(usage.get("totalTokenCount")) - prompt - thoughts or None)
        spoken = part(spoken)
        readings = [
            Usage(input_tokens=read, output_tokens=written, cache_read_tokens=cached, reasoning_tokens=thoughts)
            for read in (prompt, prompt + cached)
            for written in (spoken + thoughts, spoken)
        ]
        return agreed(readings, usage.get("totalTokenCount"))


def _candidate(body: Mapping[str, Any]) -> Mapping[str, Any]:
    candidates = body.get("candidates")
    return mapping(candidates[0]) if isinstance(candidates, list) and candidates else {}


def _text(candidate: Mapping[str, Any]) -> str:
    parts = mapping(candidate.get("content")).get("parts")
    spoken = [part for part in map(mapping, parts if isinstance(parts, list) else []) if not part.get("thought")]
    return "".join(str(part.get("text") or "") for part in spoken)


def _contents(request: Request) -> list[types.ContentUnionDict]:
    return [
        types.Content(
            role="model" if message.role == "assistant" else "user", parts=[_part(part) for part in message.parts()]
        )
        for message in request.messages
    ]


def _part(part: str | Image) -> types.Part:
    if isinstance(part, str):
        return types.Part(text=part)
    return types.Part(inline_data=types.Blob(data=part.data, mime_type=part.media_type))


def _config(request: Request) -> types.GenerateContentConfig:
    model = request.model
    native = request.output is not None and request.output.native
    return types.GenerateContentConfig(
        **given(
            system_instruction=request.system,
            temperature=model.temperature,
            max_output_tokens=model.max_tokens,
            response_mime_type="application/json" if native else None,
            response_json_schema=request.output.schema if native and request.output is not None else None,
            thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel(model.effort.upper()))
            if model.effort is not None
            else None,
        ),
        # the raw body: the SDK's own reading turns `{}` into an empty answer
        should_return_http_response=True,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        http_options=types.HttpOptions(
            timeout=max(1, round(model.timeout_seconds * 1000)),  # milliseconds
            retry_options=types.HttpRetryOptions(attempts=1),
            extra_body=dict(model.extra_body) or None,
        ),
    )

"""The wire format of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from beam_llmdag.model import Answer, Image, Message, Request
from beam_llmdag.providers.http.request_body import base64_of, deep_merged, given, mapping
from beam_llmdag.providers.http.stop_reasons import stop_of
from beam_llmdag.providers.http.usage_report import openai_usage
from beam_llmdag.text import name_text
from beam_llmdag.usage import Usage

__all__ = ["read_answer", "read_usage", "request_body"]

_TEXTS = ("output_text", "text")
_FINISHED = ("completed", "incomplete")
_UNFINISHED = ("failed", "cancelled", "queued", "in_progress")


def request_body(request: Request) -> dict[str, Any]:
    """The JSON body of a request."""
    model = request.model
    body = given(
        model=model.name,
        instructions=request.system,
        input=[{"role": message.role, "content": _content(message)} for message in request.messages],
        temperature=model.temperature,
        max_output_tokens=model.max_tokens,
        reasoning={"effort": model.effort} if model.effort is not None else None,
        store=False,
    )
    if request.output is not None and request.output.native:
        schema = {"type": "json_schema", "name": "answer", "schema": request.output.schema, "strict": True}
        body["text"] = {"format": schema}
    return deep_merged(body, model.extra_body)


def _content(message: Message) -> str | list[dict[str, Any]]:
    if isinstance(message.content, str):
        return message.content
    kind = "output_text" if message.role == "assistant" else "input_text"
    return [_part(part, kind) for part in message.parts()]


def _part(part: str | Image, kind: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": kind, "text": part}
    return {"type": "input_image", "image_url": f"data:{part.media_type};base64,{base64_of(part)}"}


def read_answer(body: Mapping[str, Any]) -> Answer | None:
    """The answer in a response; None if it has none."""
    output = body.get("output")
    if not isinstance(output, list):
        if body.get("status") != "incomplete":
            return None
        output = []  # what was filtered or only thought may leave no output
    messages = _messages(output)
    parts = list(_parts(messages))
    text = "".join(str(part.get("text") or "") for part in parts if part.get("type") in _TEXTS)
    refusals = [str(part.get("refusal") or "") for part in parts if part.get("type") == "refusal"]
    if body.get("status") in _UNFINISHED or not (parts or body.get("status") in _FINISHED):
        return None
    reason = _reason(body, messages)
    stop = "refusal" if refusals else stop_of(reason)
    return Answer(
        text=text,
        stop=stop,
        stop_reason=name_text(reason),
        refusal="".join(refusals) or (text or "stopped by the content filter" if stop == "refusal" else None),
    )


def _messages(output: list[Any]) -> list[Mapping[str, Any]]:
    """The messages of the final answer; what a model says on its way to it is no part of it."""
    messages = [item for item in map(mapping, output) if item.get("type") == "message"]
    return [item for item in messages if item.get("phase") != "commentary"]


def _parts(messages: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            yield {"type": "output_text", "text": content}
        yield from map(mapping, content if isinstance(content, list) else [])


def _reason(body: Mapping[str, Any], messages: list[Mapping[str, Any]]) -> Any:
    """Why the model stopped."""
    if body.get("status") != "incomplete":
        is_cut = any(message.get("status") == "incomplete" for message in messages)
        return "incomplete" if is_cut else body.get("status")
    return mapping(body.get("incomplete_details")).get("reason") or "length"


def read_usage(body: Mapping[str, Any]) -> Usage | None:
    """The tokens of a response.

    Raises:
        UsageError: see `openai_usage`.
    """
    return openai_usage(body.get("usage"), "input", "output")

"""The wire format of Chat Completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_llmdag.model import Answer, Image, Message, Request
from beam_llmdag.providers.http.reply import Reply
from beam_llmdag.providers.http.request_body import base64_of, deep_merged, given, mapping
from beam_llmdag.providers.http.stop_reasons import stop_of
from beam_llmdag.providers.http.usage_report import openai_usage
from beam_llmdag.text import name_text
from beam_llmdag.usage import Usage

__all__ = ["choice_error", "read_answer", "read_usage", "request_body"]

_TEXTS = ("text", "output_text", None)  # types of parts with a piece of the answer
_BROKEN_OFF = ("error", "abort", "insufficient_system_resource", "network_error")  # no word of the model's


def request_body(request: Request, *, own_server: bool) -> dict[str, Any]:
    """The JSON body of a request.

    Args:
        request: what is asked.
        own_server: asked of OpenAI itself, whose reasoning models reject `max_tokens`; many other servers know nothing
            else.
    """
    model = request.model
    messages = [{"role": message.role, "content": _content(message)} for message in request.messages]
    if request.system is not None:
        messages.insert(0, {"role": "system", "content": request.system})
    body = given(model=model.name, messages=messages, temperature=model.temperature, reasoning_effort=model.effort)
    if model.max_tokens is not None:
        body["max_completion_tokens" if own_server else "max_tokens"] = model.max_tokens
    if request.output is not None and request.output.native:
        schema = {"name": "answer", "schema": request.output.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return deep_merged(body, model.extra_body)


def _content(message: Message) -> str | list[dict[str, Any]]:
    return message.content if isinstance(message.content, str) else [_part(part) for part in message.parts()]


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{base64_of(part)}"}}


def choice_error(reply: Reply) -> Reply | None:
    """The error that some gateways put inside of the first choice, as a reply of its own; None if there is none."""
    choice = _first_choice(mapping(reply.body))
    reason, error = choice.get("finish_reason"), choice.get("error")
    if not error and reason in _BROKEN_OFF and not _text(mapping(choice.get("message")).get("content")).strip():
        error = {"message": f"no answer, the call ended with the reason {reason}", "code": reason}
    return Reply(status=reply.status, headers=reply.headers, body={"error": error}) if error else None


def read_answer(body: Mapping[str, Any]) -> Answer | None:
    """The answer in a completion; None if it has none."""
    choice = _first_choice(body)
    message = choice.get("message")
    stop = stop_of(choice.get("finish_reason"))
    if not isinstance(message, Mapping):
        if stop not in ("refusal", "length"):
            return None
        message = {}  # what was filtered or only thought may leave no message
    text = _text(message.get("content"))
    refusal = message.get("refusal") or _refusal(message.get("content"))
    if refusal:
        stop = "refusal"
    said = refusal if isinstance(refusal, str) and refusal else text
    return Answer(
        text=text,
        stop=stop,
        stop_reason=name_text(choice.get("finish_reason")),
        refusal=(said or "stopped by the content filter") if stop == "refusal" else None,
    )


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    return mapping(choices[0]) if isinstance(choices, list) and choices else {}


def _text(content: Any) -> str:
    """The text of a message; some servers send a list of parts, thinking among them."""
    if isinstance(content, list):
        parts = ({"text": part} if isinstance(part, str) else mapping(part) for part in content)
        return "".join(str(part.get("text") or "") for part in parts if part.get("type") in _TEXTS)
    return content if isinstance(content, str) else ""


def _refusal(content: Any) -> str:
    """What is said in parts that refuse."""
    refusing = [part for part in map(mapping, content if isinstance(content, list) else []) if part.get("refusal")]
    return "".join(str(part["refusal"]) for part in refusing)


def read_usage(body: Mapping[str, Any]) -> Usage | None:
    """The tokens of a completion.

    Raises:
        UsageError: see `openai_usage`.
    """
    return openai_usage(body.get("usage"), "prompt", "completion")

"""What a prompt function may return → messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from beam_llmdag.errors import CallError
from beam_llmdag.model import Image, Message
from beam_llmdag.text import clean_text

__all__ = ["estimated_tokens", "messages_of"]

_BYTES_PER_TOKEN = 3  # English has about 4; fewer means that a prompt thought to fit does fit


def messages_of(prompt: Any) -> tuple[tuple[Message, ...], str | None]:
    """Messages and system text of what a prompt function returned, with clean text.

    Args:
        prompt: a text, an `Image`, a `Message`, or a list of them. Texts and images that follow each other make one user
            message.

    Raises:
        CallError: `user_function` if it is something else, `bad_input` if there is nothing to answer.
    """
    parts = [prompt] if isinstance(prompt, (str, Image, Message)) else prompt
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, (str, Image, Message)) for part in parts):
        kind = type(prompt).__name__
        raise CallError(
            "user_function",
            f"a prompt is a text, or a list of texts, Images and Messages; the prompt function returned {kind}: {prompt!r:.100}",
            sent=False,
        )
    messages: list[Message] = []
    loose: list[str | Image] = []
    for part in parts:
        if isinstance(part, Message):
            messages += _joined(loose)
            messages.append(Message(part.role, _clean(part.parts())))
        else:
            loose.append(part)
    messages += _joined(loose)
    asked = tuple(message for message in messages if message.role != "system")
    if not any(_says_something(message) for message in asked):
        raise CallError("bad_input", "the prompt is empty or blank: there is nothing to answer, so nothing was sent", sent=False)
    system = "\n\n".join(str(part) for message in messages if message.role == "system" for part in message.parts())
    return asked, system or None


def estimated_tokens(messages: Iterable[Message]) -> int:
    """About how many tokens the texts of `messages` have, rather too many than too few."""
    texts = (part for message in messages for part in message.parts() if isinstance(part, str))
    return sum(len(text.encode("utf-8")) for text in texts) // _BYTES_PER_TOKEN


def _joined(loose: list[str | Image]) -> list[Message]:
    """The loose parts so far as one user message; empties them."""
    parts = _clean(tuple(loose))
    loose.clear()
    return [Message("user", parts)] if parts else []


def _clean(parts: tuple[str | Image, ...]) -> str | tuple[str | Image, ...]:
    cleaned = tuple(clean_text(part) if isinstance(part, str) else part for part in parts)
    return cleaned[0] if len(cleaned) == 1 and isinstance(cleaned[0], str) else cleaned


def _says_something(message: Message) -> bool:
    return any(isinstance(part, Image) or part.strip() for part in message.parts())

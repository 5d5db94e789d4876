"""What a prompt function may return → messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, get_args

from beam_llmdag.errors import CallError
from beam_llmdag.model import Image, Message, Role
from beam_llmdag.telling import shown
from beam_llmdag.text import clean_text

__all__ = ["estimated_tokens", "messages_of", "readable"]

_ROLES = get_args(Role)
_BYTES_PER_TOKEN = 3  # English has about 4; fewer means that a prompt thought to fit does fit


def messages_of(prompt: Any) -> tuple[tuple[Message, ...], str | None]:
    """Messages and system text of what a prompt function returned, with clean text.

    Args:
        prompt: a text, an `Image`, a `Message`, or a list of them. Texts and images that follow each other make one
            user message. Blank texts beside others are left out: some vendors reject them.

    Returns:
        User and assistant messages, the last one the user's, and the system text, None if there is none.

    Raises:
        CallError: `user_function` if it is something else, `bad_input` if there is nothing to answer.
    """
    if isinstance(prompt, str) and prompt and not prompt.isspace():
        return (Message("user", clean_text(prompt)),), None
    parts = [prompt] if isinstance(prompt, (str, Image, Message)) else prompt
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, (str, Image, Message)) for part in parts):
        raise _wrong(
            "a prompt is a text, or a list of texts, Images and Messages; "
            f"the prompt function returned {type(prompt).__name__}: {shown(prompt)}"
        )
    messages = [message for message in _messages(parts) if message.content]
    asked = tuple(message for message in messages if message.role != "system")
    if not asked:
        raise CallError(
            "bad_input", "the prompt is empty or blank: there is nothing to answer, so nothing was sent", sent=False
        )
    if asked[-1].role != "user":
        raise _wrong("the last message of a prompt is the user's, not the assistant's: models do not go on writing it")
    system = "\n\n".join(str(message.content) for message in messages if message.role == "system")
    return asked, system or None


def estimated_tokens(messages: Iterable[Message], system: str | None = None) -> int:
    """About how many tokens a system text and the texts of `messages` have, rather too many than too few."""
    texts = (part for message in messages for part in message.parts() if isinstance(part, str))
    return sum(len(text.encode("utf-8")) for text in (system or "", *texts)) // _BYTES_PER_TOKEN


def readable(messages: Iterable[Message], system: str | None) -> str:
    """A prompt as a text for a person: who says what, in order; of an image its kind and size."""
    said = [Message("system", system)] if system else []
    return "\n\n".join(
        f"[{message.role}]\n" + "\n".join(map(_readable_part, message.parts())) for message in [*said, *messages]
    )


def _readable_part(part: str | Image) -> str:
    return part if isinstance(part, str) else f"[{part.media_type}, {len(part.data)} bytes]"


def _messages(parts: Sequence[str | Image | Message]) -> Iterator[Message]:
    """The messages among `parts`, and loose texts and images between them as user messages."""
    for loose, group in groupby(parts, lambda part: not isinstance(part, Message)):
        members: list[Any] = list(group)
        for message in [Message("user", members)] if loose else members:
            yield _checked(message)


def _checked(message: Any) -> Message:
    """`message` with clean text and without blank parts; its content is empty if nothing is left."""
    if message.role not in _ROLES:
        raise _wrong(f"the role of a Message is 'system', 'user' or 'assistant', not {shown(message.role)}")
    content = [message.content] if isinstance(message.content, str) else message.content
    if not isinstance(content, (list, tuple)) or not all(isinstance(part, (str, Image)) for part in content):
        raise _wrong(f"the content of a Message is a text, or a list of texts and Images, not {shown(content)}")
    images = [part for part in content if isinstance(part, Image)]
    if images and message.role == "system":
        raise _wrong("a system message holds text only: put its images into a user message")
    for image in images:
        if not isinstance(image.data, bytes) or not image.data:
            raise _wrong(f"an Image holds the bytes of a file, not {type(image.data).__name__}: {shown(image.data)}")
    kept = tuple(clean_text(part) if isinstance(part, str) else part for part in content if _says_something(part))
    if message.role == "system":
        return Message("system", "\n\n".join(map(str, kept)))
    return Message(message.role, kept[0] if len(kept) == 1 and isinstance(kept[0], str) else kept)


def _says_something(part: str | Image) -> bool:
    return isinstance(part, Image) or bool(part.strip())


def _wrong(message: str) -> CallError:
    return CallError("user_function", message, sent=False)

"""What a prompt function may return, and what is made of it."""

from typing import Any

import pytest

from beam_llmdag.calls.prompt import estimated_tokens, messages_of
from beam_llmdag.errors import CallError
from beam_llmdag.model import Image, Message

IMAGE = Image(b"\x89PNG")


@pytest.mark.parametrize(
    ("prompt", "messages", "system"),
    [
        ("hi", (Message("user", "hi"),), None),
        (["hi"], (Message("user", "hi"),), None),
        (["one", "two"], (Message("user", ("one", "two")),), None),
        (IMAGE, (Message("user", (IMAGE,)),), None),
        (("What is it?", IMAGE), (Message("user", ("What is it?", IMAGE)),), None),
        (Message("user", "hi"), (Message("user", "hi"),), None),
        ([Message("system", "Be brief."), "hi"], (Message("user", "hi"),), "Be brief."),
        (
            [Message("system", ["a", "b"]), "hi", Message("system", "c")],
            (Message("user", "hi"),),
            "a\n\nb\n\nc",
        ),
        (
            ["1 + 1", Message("assistant", "2"), "2 + 2", IMAGE],
            (Message("user", "1 + 1"), Message("assistant", "2"), Message("user", ("2 + 2", IMAGE))),
            None,
        ),
        (["", "hi", " \n"], (Message("user", "hi"),), None),
        ([" ", IMAGE], (Message("user", (IMAGE,)),), None),
        ([Message("system", " "), Message("user", ""), "hi"], (Message("user", "hi"),), None),
        ("half \ud83c", (Message("user", "half \ufffd"),), None),
        ([Message("system", "\ud83c"), "a"], (Message("user", "a"),), "\ufffd"),
        ("  kept as it is \n", (Message("user", "  kept as it is \n"),), None),
    ],
)
def test_a_prompt_is_texts_images_and_messages(prompt: Any, messages: tuple[Message, ...], system: str | None) -> None:
    assert messages_of(prompt) == (messages, system)


@pytest.mark.parametrize(
    "prompt", ["", " \n\t ", [], (), [""], [Message("system", "Be brief.")], [Message("user", [" ", ""])]]
)
def test_a_blank_prompt_is_found_before_it_is_sent(prompt: Any) -> None:
    """Case inputs-03-empty-and-blank-content."""
    with pytest.raises(CallError) as info:
        messages_of(prompt)
    assert info.value.error_class == "bad_input"
    assert not info.value.sent
    assert "empty or blank" in info.value.message


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        (None, "the prompt function returned NoneType: None"),
        (3, "the prompt function returned int: 3"),
        ({"role": "user", "content": "hi"}, "the prompt function returned dict"),
        (["hi", None], "the prompt function returned list"),
        (b"bytes", "the prompt function returned bytes"),
        ((part for part in ["hi"]), "the prompt function returned generator"),
        (Message("usr", "hi"), "the role of a Message is 'system', 'user' or 'assistant', not 'usr'"),
        (Message("user", None), "the content of a Message is a text, or a list of texts and Images, not None"),
        (Message("user", ["a", 1]), "the content of a Message is a text, or a list of texts and Images"),
        ([Message("system", [IMAGE]), "a"], "a system message holds text only"),
        (Image("cat.png"), "an Image holds the bytes of a file, not str: 'cat.png'"),
        (Image(b""), "an Image holds the bytes of a file, not bytes: b''"),
        (["a", Message("assistant", "b")], "the last message of a prompt is the user's"),
    ],
)
def test_anything_else_is_an_error_of_the_prompt_function(prompt: Any, told: str) -> None:
    with pytest.raises(CallError) as info:
        messages_of(prompt)
    assert info.value.error_class == "user_function"
    assert not info.value.sent
    assert told in info.value.message


def test_tokens_are_estimated_from_the_bytes_of_all_texts() -> None:
    messages, _ = messages_of(["x" * 30, IMAGE, "é" * 15])
    assert estimated_tokens(messages) == 20

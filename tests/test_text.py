import pytest

from beam_llmdag.text import clean_text, excerpt


@pytest.mark.parametrize("text", ["", "plain", "é", "\U0001f340", "a\u0000b", "\ufeff", "\U0001f469\u200d\U0001f680"])
def test_valid_text_stays_as_it_is(text: str) -> None:
    assert clean_text(text) is text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\ud83c\udf40", "\U0001f340"),
        ("a\ud83cb", "a\ufffdb"),
        ("\udf40", "\ufffd"),
        ("\udf40\ud83c", "\ufffd\ufffd"),
        ("\ud83c\ud83c\udf40", "\ufffd\U0001f340"),
        ("\U0001f340\ud83c", "\U0001f340\ufffd"),
    ],
)
def test_halves_are_joined_or_replaced(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


def test_an_excerpt_keeps_both_ends_and_says_what_is_missing() -> None:
    text = "begin" + "x" * 5000 + "end"
    short = excerpt(text, 1000)
    assert (short[:5], short[-3:]) == ("begin", "end")
    assert "left out" in short
    assert len(short) == 1000


@pytest.mark.parametrize("length", [0, 1, 1000])
def test_a_text_that_is_short_enough_is_its_own_excerpt(length: int) -> None:
    assert excerpt("x" * length, 1000) == "x" * length

"""What came back over HTTP, looked at before anybody takes it for an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from beam_llmdag.providers.http.access import Access
from beam_llmdag.text import name_text

__all__ = ["Reply", "codes", "description", "error_in", "error_place", "read_reply", "words"]

_ID_HEADERS = ("request-id", "x-request-id", "x-goog-request-id")
_CODE_KEYS = ("code", "type", "status", "error_code", "status_code", "reason", "quotaId", "quotaMetric")
_SHOWN = 300
_TITLE = re.compile(r"<title[^<>]*+>", re.IGNORECASE)
_END_OF_TITLE = re.compile("</title", re.IGNORECASE)
_MOST_DIGITS = 40
_LONGEST_CODE = 100
_HTML = re.compile(r"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP response.

    Attributes:
        status: its status.
        headers: its headers, names in lower case.
        body: its body: JSON data, or the text if it was no JSON.
    """

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def request_id(self) -> str | None:
        """The vendor's id of the request, from a header or the body of an error."""
        from_header = next((self.headers[name] for name in _ID_HEADERS if self.headers.get(name)), None)
        in_body = self.body.get("request_id") if isinstance(self.body, Mapping) else None
        return name_text(from_header or in_body)


def read_reply(status: int, headers: Mapping[str, str], content: str, access: Access) -> Reply:
    """A response, its body parsed, without the key that a vendor may echo: before any text is cut to length.

    The key is hidden in what was parsed: before that, JSON may spell it with escapes.
    """
    try:
        body = json.loads(content, parse_int=_integer)
        if access.shown_in(content):
            body = access.hidden_in(body)
    except (ValueError, RecursionError):  # no JSON, or nested more deeply than any answer
        body = access.hidden(content)
    if isinstance(body, list) and len(body) == 1 and isinstance(body[0], Mapping):  # Google's way with some errors
        body = body[0]
    return Reply(
        status=status, headers={name.lower(): access.hidden(value) for name, value in headers.items()}, body=body
    )


def _integer(digits: str) -> int | float:
    """A whole number in a body; a float where it is too long to be a count, and perhaps for Python to read at all."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def error_in(body: Any) -> Any:
    """The error object (or text) in a body, whatever the status was; None if there is none.

    One of which every field is null or empty is none.
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    return None if not error or (isinstance(error, Mapping) and not any(error.values())) else error


def error_place(body: Any) -> Any:
    """What of a body speaks of an error: its error object, or all of it where the error stands flat in it."""
    error = error_in(body)
    return error if isinstance(error, (str, list, Mapping)) else body


def codes(body: Any) -> tuple[str, ...]:
    """The machine-readable names of an error: codes, types and reasons, in the order in which they stand."""
    found = [value for value in _codes_in(error_place(body)) if value != "error"]
    return tuple(dict.fromkeys(found))


def _codes_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for entry in value:
            yield from _codes_in(entry)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _CODE_KEYS and isinstance(inner, (str, int)) and not isinstance(inner, bool):
                yield str(inner)[:_LONGEST_CODE]
            elif isinstance(inner, (Mapping, list)):
                yield from _codes_in(inner)


def words(body: Any) -> str:
    """What a body says about an error, in the vendor's words where it has any."""
    error = error_in(body)
    for place in (error, body):
        if isinstance(place, Mapping):
            for key in ("message", "detail", "error_description"):
                if isinstance(place.get(key), str) and place[key].strip():
                    return _readable(place[key])
    return _readable(error) if isinstance(error, str) else description(body)


def description(body: Any) -> str:
    """What a body is, for somebody who expected an answer in JSON."""
    if isinstance(body, str):
        return _readable(body) if body.strip() else "an empty body"
    return f"JSON without an answer: {json.dumps(body, ensure_ascii=False)[:_SHOWN]}"


def _readable(text: str) -> str:
    """`text`, or what it says in its title if it is a web page."""
    if not _HTML.match(text):
        return text.strip()[:_SHOWN]
    title = _TITLE.search(text)
    end = _END_OF_TITLE.search(text, title.end()) if title else None
    said = f" ({' '.join(text[title.end() : end.start()].split())[:_SHOWN]})" if title and end else ""
    return f"an HTML page{said}"

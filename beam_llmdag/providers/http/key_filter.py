"""Keys stay out of the log lines of SDKs and HTTP libraries, whatever level they log at."""

from __future__ import annotations

import logging
from typing import Any

from beam_llmdag.providers.http.access import Access

__all__ = ["KeyFilter"]

_LOGGERS = (
    "anthropic",
    "anthropic._base_client",
    "openai",
    "openai._base_client",
    "google_genai._api_client",
    "google_genai.models",
    "google_genai.types",
    "httpx2",
    "httpx",
    "aiohttp.client",
    "aiohttp.internal",
    "asyncio",
)
_FORMATTER = logging.Formatter()


class KeyFilter(logging.Filter):
    """Replaces a key in the records of the libraries that get to see it.

    A vendor may echo the key in headers or texts, and the libraries log those. Filters of a logger do not see the
    records of its children, so each logger gets one.

    Args:
        access: whose key is hidden.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass, without the key."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # a record that cannot be formatted cannot show a key
            return True
        hidden = self._access.hidden(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        if record.exc_info:
            record.exc_text = self._access.hidden(record.exc_text or _traceback(record.exc_info))
        return True

    def install(self) -> None:
        """Puts the filter on the loggers of the libraries."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def remove(self) -> None:
        """Takes the filter off again."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)


def _traceback(exc_info: Any) -> str:
    return _FORMATTER.formatException(exc_info)

"""Keys that are kept in Google Cloud's Secret Manager, read by the process that uses them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from beam_llmdag.errors import CallError, ErrorClass

__all__ = ["SECRETS", "Secrets"]

# At DEBUG it logs whole responses: the secret.
_TELLTALE = "google.cloud.secretmanager_v1.services.secret_manager_service.transports.grpc"
_SECONDS = 20.0  # one read takes a tenth of a second; a project without a route to Google should not wait for minutes


class Secrets:
    """The secrets that a process has read, each once. Values are in its memory and nowhere else.

    Args:
        connect: makes a client of Secret Manager. By default with the credentials of the process: on Dataflow those of
            the workers' service account.
    """

    def __init__(self, connect: Callable[[], Any] | None = None) -> None:
        self._connect = connect or _connect
        self._values: dict[str, str] = {}
        self._lock = threading.Lock()

    def known(self, version: str) -> str | None:
        """The value of a secret that has been read; None if it has not."""
        return self._values.get(version)

    def read(self, version: str) -> str:
        """The value of a secret, without blanks and line ends around it. Blocks while it is asked for the first time.

        Args:
            version: full name, `"projects/<project>/secrets/<name>/versions/<number or latest>"`.

        Raises:
            CallError: `auth`, if it cannot be had; `connection`, if it cannot be had now. Names the secret.
        """
        with self._lock:
            value = self._values.get(version)
            if value is None:
                value = self._values[version] = _text(version, self._payload(version))
            return value

    def _payload(self, version: str) -> bytes:
        if find_spec("google.cloud") is None or find_spec("google.cloud.secretmanager") is None:
            raise _unreadable(version, "install 'beam-llmdag[gcp]' on the worker")
        # not at the top: part of the extra `gcp`
        from google.api_core.exceptions import GoogleAPIError, RetryError, ServerError, TooManyRequests
        from google.auth.exceptions import GoogleAuthError

        logging.getLogger(_TELLTALE).setLevel(logging.INFO)
        try:
            with self._connect() as client:
                # its own retries are off, as everywhere: a failed call is tried again as a whole
                response = client.access_secret_version(name=version, timeout=_SECONDS, retry=None)
        except (GoogleAPIError, GoogleAuthError) as error:
            passes = isinstance(error, (ServerError, TooManyRequests, RetryError))
            told = f"{type(error).__name__}: {error}"[:300]
            raise _unreadable(version, told, "connection" if passes else "auth") from None
        payload: bytes = response.payload.data
        return payload


def _connect() -> Any:
    from google.cloud import secretmanager

    return secretmanager.SecretManagerServiceClient()


def _text(version: str, payload: bytes) -> str:
    try:
        value = payload.decode("ascii").strip()
    except UnicodeDecodeError:  # its text would show the bytes
        raise _unreadable(version, "it is no ASCII text, as keys are") from None
    if not value:
        raise _unreadable(version, "it is empty")
    return value


def _unreadable(version: str, why: str, error_class: ErrorClass = "auth") -> CallError:
    return CallError(error_class, f"no key from Secret Manager, {version}: {why}", sent=False)


SECRETS = Secrets()
"""The secrets of this process."""

"""Variables of the environment that every connection depends on, looked at before the first one is opened.

Without that a file that is not there is 'No such file or directory' in the middle of a connection, as if the network
had failed, and is tried again and again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import urlsplit

from beam_llmdag.errors import CallError
from beam_llmdag.providers.http.address import shown_url
from beam_llmdag.providers.http.certificates import certificate_fault

__all__ = ["check_environment"]

_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def check_environment() -> None:
    """Raises where a certificate or proxy variable says what cannot be.

    Raises:
        CallError: `bad_request`, unsent; names the variable, its value and the remedy. A proxy's password is not shown.
    """
    for name, check in _CHECKS.items():
        for variable in (name, name.lower()) if check is _proxy_fault else (name,):
            value = os.environ.get(variable, "").strip()
            if value and (fault := check(value)) is not None:
                raise CallError("bad_request", f"{variable} {fault}: correct it, or unset it", sent=False)


def _file_fault(value: str) -> str | None:
    """Why `value` is no file with certificates; None if it is one."""
    fault = certificate_fault(value)
    return None if fault is None else f"is {value!r}, from which no certificates can be read ({fault})"


def _folder_fault(value: str) -> str | None:
    if any(os.path.isdir(folder) for folder in value.split(os.pathsep)):
        return None
    return f"is {value!r}, which is no folder with certificates"


def _bundle_fault(value: str) -> str | None:
    return None if os.path.isdir(value) else _file_fault(value)


def _proxy_fault(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        if parts.scheme.lower() in _PROXY_SCHEMES and parts.hostname and parts.port != 0:
            return None
    except ValueError:  # a port that is no number, a bracket that does not close
        pass
    shown = shown_url(value) if "//" in value else value.rpartition("@")[2]
    return f"is {shown!r}, which is no address of a proxy such as 'http://proxy.example:3128'"


_CHECKS: dict[str, Callable[[str], str | None]] = {
    "SSL_CERT_FILE": _file_fault,
    "SSL_CERT_DIR": _folder_fault,
    "REQUESTS_CA_BUNDLE": _bundle_fault,
    "HTTPS_PROXY": _proxy_fault,
    "HTTP_PROXY": _proxy_fault,
    "ALL_PROXY": _proxy_fault,
}

"""Where a provider sends its requests, and the key it sends along."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from beam_llmdag.errors import CallError, GraphError
from beam_llmdag.model import Model
from beam_llmdag.model.faults import address_fault
from beam_llmdag.providers.http.address import Address, read_address
from beam_llmdag.providers.http.secret_manager import SECRETS, Secrets
from beam_llmdag.providers.http.secret_text import hidden, shows

__all__ = ["Access"]

_PLACEHOLDER = "no-key"  # the SDKs insist on a key; servers in one's own network often need none


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Address and key of a model, read by the process that calls it, at the time of the call.

    Both are in its environment, or the key is in Secret Manager; then `read_secret` comes before all that needs it.

    Args:
        model: its `base_url` and `api_key_env` come before the vendor's usual variables.
        key_variables: the vendor's usual variables for the key; the first that is set counts.
        url_variable: the vendor's usual variable for another address.
        added_paths: what the vendor's SDK puts behind an address, see `read_address`.
        fixed_key: a key that is not from the environment (of a server in this process).
        secrets: the secrets of the process.
    """

    model: Model
    key_variables: tuple[str, ...]
    url_variable: str
    added_paths: tuple[str, ...] = ()
    fixed_key: str | None = None
    secrets: Secrets = SECRETS

    @property
    def endpoint(self) -> str | None:
        """Address of the server; None for the vendor's own."""
        return self.model.base_url or os.environ.get(self.url_variable) or None

    @property
    def address(self) -> Address:
        """The same as the SDK wants it, with the model's own query."""
        address = read_address(self.endpoint, self.added_paths)
        return replace(address, query={**address.query, **self.model.query})

    def check(self) -> None:
        """Refuses an address that holds what belongs elsewhere.

        Raises:
            GraphError: see `address_fault`.
        """
        endpoint = self.endpoint
        fault = address_fault(endpoint)
        if fault is None and endpoint is not None and not endpoint.lower().startswith(("http://", "https://")):
            fault = "begins with 'http://' or 'https://'"
        if fault is None and endpoint is not None and not urlsplit(endpoint).hostname:
            fault = "names no server"
        if fault is not None:
            where = "base_url" if self.model.base_url else f"the base_url in {self.url_variable}"
            raise GraphError(f"model {self.model.spec!r}: {where} {fault}")

    @property
    def variables(self) -> tuple[str, ...]:
        """Environment variables that may hold the key, in the order in which they are read."""
        return (self.model.api_key_env,) if self.model.api_key_env else self.key_variables

    @property
    def lacks_secret(self) -> bool:
        """Whether the key is in Secret Manager and has not been read."""
        secret = self.model.api_key_secret
        return not self.fixed_key and secret is not None and self.secrets.known(secret) is None

    async def read_secret(self) -> None:
        """Reads the key from Secret Manager, in a thread.

        Raises:
            CallError: see `Secrets.read`.
        """
        if self.model.api_key_secret is not None:
            await asyncio.to_thread(self.secrets.read, self.model.api_key_secret)

    def key(self) -> str | None:
        """The key in use; None if there is none."""
        if self.fixed_key:
            return self.fixed_key
        if self.model.api_key_secret is not None:
            return self.secrets.known(self.model.api_key_secret)
        return next((key for name in self.variables if (key := os.environ.get(name, "").strip())), None)

    def key_to_send(self) -> str:
        """The key in use, or a placeholder for a server that may need none.

        Raises:
            CallError: `auth`, if there is no key and the vendor's own server is asked.
        """
        key = self.key()
        if key:
            return key
        if self.endpoint:
            return _PLACEHOLDER
        names = " or ".join(self.variables)
        raise CallError("auth", f"no key for {self.model.spec}: set {names} on the worker", sent=False)

    def shown_in(self, text: str) -> bool:
        """Whether the key stands in `text`."""
        return shows(text, self.key())

    def hidden(self, text: str) -> str:
        """`text` without the key."""
        return hidden(text, self.key())

    def hidden_in(self, data: Any) -> Any:
        """JSON-like data without the key in any of its texts."""
        if isinstance(data, str):
            return self.hidden(data)
        if isinstance(data, list):
            return [self.hidden_in(inner) for inner in data]
        if isinstance(data, dict):
            return {self.hidden(name): self.hidden_in(inner) for name, inner in data.items()}
        return data

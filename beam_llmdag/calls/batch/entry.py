"""A call that waits for a batch, as the store keeps it; and what it has in common with a batch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from beam_llmdag.calls.store.answers import Asked, Payer
from beam_llmdag.model import Model

__all__ = ["KeptWithClient", "PendingCall", "client_of", "custom_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWithClient:
    """What the store keeps as JSON text, and is sent without the dag that asks.

    Attributes:
        client: the arguments of the `Model` that a client is made for: no parameters of a request.
    """

    client: dict[str, Any]

    @classmethod
    def read(cls, text: str) -> Self | None:
        """One from the text that `text` made of it; None if somebody else has made it."""
        try:
            known = cls(**json.loads(text))
            return known if known.model.provider else None
        except (ValueError, TypeError):
            return None

    @property
    def text(self) -> str:
        """All of it as JSON text."""
        return json.dumps(asdict(self))

    @property
    def model(self) -> Model:
        """The model that a client is made for."""
        return Model(**self.client)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCall(KeptWithClient):
    """What must be known of a call to send it without the dag that asks.

    Attributes:
        number: under which the ledger will have it.
        run_id, dimension, subject: for whom it was entered.
        key, parts: under which its answer is to be kept, see `AnswerKey`.
        body: its JSON body as text.
        reserved: nano-dollars that were set aside for it.
        entered_at: seconds since 1970-01-01 UTC.
        is_read: whether the ledger has what came of it.
    """

    number: int
    run_id: str
    dimension: str
    subject: str
    key: str
    parts: str
    body: str
    reserved: int
    entered_at: float
    is_read: bool = False

    @property
    def asked(self) -> Asked:
        """What the ledger says of it."""
        payer = Payer(self.run_id, self.dimension, self.subject)
        return Asked(key=self.key, model=self.client["spec"], payer=payer, parts=self.parts)

    @property
    def client_text(self) -> str:
        """The same for all calls that may be in one batch."""
        return json.dumps(self.client, sort_keys=True)


def client_of(model: Model) -> dict[str, Any]:
    """See `KeptWithClient`."""
    return {
        "spec": model.spec,
        "base_url": model.base_url,
        "api_key_env": model.api_key_env,
        "headers": dict(model.headers),
        "query": dict(model.query),
    }


def custom_id(kept: str, request: str, tries: int) -> str:
    """The id of a call in its batch: the same in every round, another for every try. 64 hexadecimal digits.

    Args:
        kept: key under which the answer will be kept.
        request: key of what is asked this time, complaints about earlier answers included.
        tries: how often the model was asked before.
    """
    return hashlib.sha256(f"{kept} {request} {tries}".encode()).hexdigest()

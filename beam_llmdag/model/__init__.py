"""Models, and what is said to and by one: Model, Message, Image, Request, Answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from beam_llmdag.errors import GraphError
from beam_llmdag.model.faults import address_fault, headers_fault, query_fault, spec_fault
from beam_llmdag.usage import Usage

__all__ = [
    "Answer",
    "Effort",
    "Image",
    "LaneName",
    "LimitKind",
    "LimitState",
    "Message",
    "Model",
    "Request",
    "Role",
    "Stop",
    "WireSchema",
]

Effort = Literal["minimal", "low", "medium", "high"]
LaneName = Literal["direct", "batch"]
Role = Literal["system", "user", "assistant"]
Stop = Literal["end", "length", "refusal", "unknown"]
LimitKind = Literal["requests", "input_tokens", "output_tokens", "tokens"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_VERSION = re.compile(r"projects/[\w.:-]+/secrets/[\w-]+/versions/[\w-]+")


@dataclass(frozen=True, slots=True)
class Model:
    """A provider's model with its parameters, limits and ordered fallbacks.

    Args:
        spec: `"provider:name"`, for example `"anthropic:claude-haiku-4-5"`. Providers of the package: `anthropic`,
            `openai` (the Responses API; Chat Completions when a `base_url` is given), `openai-responses`,
            `openai-chat`, `google`, `local` (a GGUF file in this process).
        fallbacks: models to ask, in this order, when this one failed for good.
        temperature: sampling temperature; None leaves the vendor's default.
        max_tokens: most tokens of an answer, reasoning included; None leaves the provider's default.
        system: system text of every request, before a dimension's own.
        effort: how much a reasoning model may think; None leaves the vendor's default.
        timeout_seconds: longest wait for one answer, after a permit was had.
        attempts: tries per request, the first included.
        max_in_flight: most calls in flight, of all worker processes together; None leaves the provider's default, which
            is per process.
        requests_per_minute: most requests within any 60 seconds, of all worker processes together; None sets no limit
            beyond what the vendor is found to allow.
        input_tokens_per_minute: most input tokens, in the same way; estimated before a call, corrected after.
        output_tokens_per_minute: most output tokens, in the same way.
        base_url: another server that speaks the provider's protocol. What the vendor's SDK puts behind it may be there
            or not, and a query is sent with every request. No user, no password.
        headers: more headers of every request. No keys: a model is pickled, shown and logged.
        query: parameters behind the address of every request, such as `{"api-version": "…"}`. No keys either.
        api_key_env: where the key is on the worker: an environment variable, or the full name of a version of a secret
            in Google Cloud's Secret Manager, `"projects/<project>/secrets/<name>/versions/latest"`, which the worker
            reads at its first call. None for the vendor's usual variable.
        extra_body: more fields of the request's JSON body, sent as they are.
        lane: `"direct"`: every request on its own. `"batch"`: in the vendor's batch API, for half the price and an
            answer within a day; the run goes in rounds then, see `Dag.run`. None: as the run says, else `"direct"`.
        budget_usd: dollars that calls to this model may cost in a run, beside what the run and its dimensions may.
    """

    spec: str
    fallbacks: Sequence[Model | str] = field(default=(), kw_only=True)
    temperature: float | None = field(default=None, kw_only=True)
    max_tokens: int | None = field(default=None, kw_only=True)
    system: str | None = field(default=None, kw_only=True)
    effort: Effort | None = field(default=None, kw_only=True)
    timeout_seconds: float = field(default=120.0, kw_only=True)
    attempts: int = field(default=4, kw_only=True)
    max_in_flight: int | None = field(default=None, kw_only=True)
    requests_per_minute: int | None = field(default=None, kw_only=True)
    input_tokens_per_minute: int | None = field(default=None, kw_only=True)
    output_tokens_per_minute: int | None = field(default=None, kw_only=True)
    base_url: str | None = field(default=None, kw_only=True)
    api_key_env: str | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)
    query: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)
    extra_body: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)  # a dict has no hash
    lane: LaneName | None = field(default=None, kw_only=True)
    budget_usd: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        base_url = address_fault(self.base_url)
        for fault in (
            spec_fault(self.spec),
            None if base_url is None else f"base_url {base_url}",
            headers_fault(self.headers),
            query_fault(self.query),
        ):
            if fault is not None:
                raise GraphError(f"model {self.spec!r}: {fault}")
        if isinstance(self.fallbacks, str):
            raise GraphError(f"model {self.spec!r}: fallbacks is a list of models, not the text {self.fallbacks!r}")
        for what, value, least in (
            ("attempts", self.attempts, 1),
            ("max_tokens", self.max_tokens, 1),
            ("max_in_flight", self.max_in_flight, 1),
            ("requests_per_minute", self.requests_per_minute, 1),
            ("input_tokens_per_minute", self.input_tokens_per_minute, 1),
            ("output_tokens_per_minute", self.output_tokens_per_minute, 1),
        ):
            if value is not None and value < least:
                raise GraphError(f"model {self.spec!r}: {what} must be at least {least}, not {value}")
        if self.budget_usd is not None and self.budget_usd <= 0:
            raise GraphError(f"model {self.spec!r}: budget_usd must be positive, not {self.budget_usd:g}")
        if self.timeout_seconds <= 0:
            raise GraphError(f"model {self.spec!r}: timeout_seconds must be positive, not {self.timeout_seconds}")
        if self.effort is not None and self.effort not in get_args(Effort):
            raise GraphError(
                f"model {self.spec!r}: effort is one of {', '.join(get_args(Effort))}, not {self.effort!r}"
            )
        if self.lane is not None and self.lane not in get_args(LaneName):
            raise GraphError(f"model {self.spec!r}: lane is one of {', '.join(get_args(LaneName))}, not {self.lane!r}")
        if not (self.api_key_env is None or self.api_key_secret or _VARIABLE.fullmatch(self.api_key_env)):
            raise GraphError(
                f"model {self.spec!r}: api_key_env is the name of an environment variable or of a secret's version, "
                "'projects/<project>/secrets/<name>/versions/latest'. What is there is neither; it is not shown, "
                "because it may be a key"
            )
        object.__setattr__(self, "fallbacks", tuple(as_model(fallback) for fallback in self.fallbacks))
        for name in ("headers", "query", "extra_body"):
            object.__setattr__(self, name, dict(getattr(self, name)))

    @property
    def provider(self) -> str:
        """The part of `spec` before the first colon."""
        return self.spec.partition(":")[0]

    @property
    def name(self) -> str:
        """The part of `spec` after the first colon: the vendor's name of the model."""
        return self.spec.partition(":")[2]

    @property
    def api_key_secret(self) -> str | None:
        """`api_key_env`, if it names a secret in Secret Manager; else None."""
        named = self.api_key_env
        return named if named is not None and _SECRET_VERSION.fullmatch(named) else None

    def chain(self) -> tuple[Model, ...]:
        """This model and its fallbacks, each once and without fallbacks, in the order in which they are asked."""
        models: list[Model] = []
        for model in (self, *(m for fallback in self.fallbacks for m in as_model(fallback).chain())):
            alone = replace(model, fallbacks=())
            if alone not in models:
                models.append(alone)
        return tuple(models)


def as_model(model: Model | str) -> Model:
    """A `Model` from a `Model` or its `"provider:name"` text.

    Raises:
        GraphError: for anything else.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, str):
        return Model(model)
    raise GraphError(
        f"a model is a Model or a text like 'anthropic:claude-haiku-4-5', not {type(model).__name__}: {model!r}"
    )


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message.

    Args:
        data: the bytes of the file.
        media_type: its MIME type, for example `"image/png"`.
    """

    data: bytes
    media_type: str = field(default="image/png", kw_only=True)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt.

    Args:
        role: `"system"`, `"user"` or `"assistant"`.
        content: a text, or texts and images in order.
    """

    role: Role
    content: str | Sequence[str | Image]

    def parts(self) -> tuple[str | Image, ...]:
        """The content as a tuple of texts and images."""
        return (self.content,) if isinstance(self.content, str) else tuple(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSchema:
    """An output schema as one provider gets it.

    Attributes:
        schema: JSON schema in the provider's dialect, keys in the order in which the model shall write them.
        native: True: sent in the API's own field for structured output. False: the API cannot express it, so it
            is shown to the model as text and checked here alone.
        notes: what was changed for this provider, in words for `dag.explain()`.
    """

    schema: Mapping[str, Any]
    native: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that one call says to a provider; what else can change the answer does not exist.

    Attributes:
        model: whom to ask. `temperature`, `max_tokens`, `effort` and `extra_body` of it hold for this request.
        messages: user and assistant messages, in order; the last one is the user's.
        system: system text, or None.
        output: schema of the answer for this provider; None for plain text.
        sample: number of the sample, from 0, where the same is asked several times on purpose.
        version: what the user calls this way of asking; nothing of it is sent.
    """

    model: Model
    messages: tuple[Message, ...]
    system: str | None = None
    output: WireSchema | None = None
    sample: int = 0
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitState:
    """What a vendor says of one of its rate limits, in the headers of a response.

    Attributes:
        kind: what is limited; `"tokens"` counts input and output together.
        limit: the most there can be.
        remaining: what is left.
        reset_seconds: until it is at its limit again; None if that is not known well enough to reckon with.
    """

    kind: LimitKind
    limit: int
    remaining: int
    reset_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a provider's model said.

    Attributes:
        text: the answer, without thinking that the API delivers apart.
        stop: `"end"`, `"length"` (token limit), `"refusal"`, or `"unknown"`: then only what is whole
            in itself is an answer.
        usage: tokens of the call; None where the provider did not say.
        stop_reason: the vendor's own word for `stop`, for messages.
        model_name: the model's name as the response gives it.
        request_id: the vendor's id of the request.
        refusal: the words of a refusal, where the API has a field for them.
        limits: rate limits of which less than half is left.
    """

    text: str
    stop: Stop = "end"
    usage: Usage | None = None
    stop_reason: str | None = None
    model_name: str | None = None
    request_id: str | None = None
    refusal: str | None = None
    limits: tuple[LimitState, ...] = ()

"""What may stand in a dag file. Names, types and meanings are those of `Dag`, `Dag.dimension`, `Model` and `Price`.

The attributes' texts become the descriptions in the published JSON schema, which editors show.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from beam_llmdag.graph.dimension import OnMissing, Scope
from beam_llmdag.model import Effort, LaneName, Role

__all__ = [
    "ChoiceFile",
    "ComputeFile",
    "DagFile",
    "DimensionFile",
    "FunctionFile",
    "MessageFile",
    "ModelFile",
    "PriceFile",
    "RegroupFile",
    "dag_file_schema",
]


class _Part(BaseModel):
    """A mapping of the file, with known keys only."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for key in value if isinstance(value, Mapping) else ():
            if key not in names:
                close = difflib.get_close_matches(key, names, n=1)
                known = f"did you mean {close[0]!r}?" if close else f"known ones are {', '.join(names)}"
                raise PydanticCustomError("unknown_key", "unknown key '{key}'; {known}", {"key": key, "known": known})
        return value


def _kind(value: Any) -> str:
    return "mapping" if isinstance(value, (dict, BaseModel)) else "list" if isinstance(value, list) else "text"


class ModelFile(_Part):
    """A model with its parameters."""

    spec: str
    """Provider and name, as `anthropic:claude-haiku-4-5`."""
    fallbacks: list[ModelText] = []
    """Models to ask, in this order, when this one failed for good."""
    temperature: float | None = None
    """Sampling temperature; the vendor's default if left out."""
    max_tokens: int | None = None
    """Most tokens of an answer, reasoning included."""
    system: str | None = None
    """System text of every request, before a dimension's own. No template."""
    effort: Effort | None = None
    """How much a reasoning model may think."""
    timeout_seconds: float = 120.0
    """Longest wait for one answer."""
    attempts: int = 4
    """Tries per request, the first included."""
    max_in_flight: int | None = None
    """Most calls in flight, of all worker processes together."""
    requests_per_minute: int | None = None
    """Most requests within any 60 seconds, of all worker processes together."""
    input_tokens_per_minute: int | None = None
    """Most input tokens, in the same way."""
    output_tokens_per_minute: int | None = None
    """Most output tokens, in the same way."""
    lane: LaneName | None = None
    """`batch`: in the vendor's batch API, for half the price, and the run goes in rounds. `direct`: each on its own."""
    budget_usd: float | None = None
    """Dollars that calls to this model may cost in a run."""
    base_url: str | None = None
    """Another server that speaks the provider's protocol."""
    api_key_env: str | None = None
    """Environment variable that holds the key on the worker. Never the key itself."""
    headers: dict[str, str] = {}
    """More headers of every request. No keys."""
    query: dict[str, str] = {}
    """Parameters behind the address of every request, as `api-version: 2025-04-01-preview`. No keys."""
    extra_body: dict[str, Any] = {}
    """More fields of the request's JSON body, sent as they are."""


ModelText = Annotated[Annotated[str, Tag("text")] | Annotated[ModelFile, Tag("mapping")], Discriminator(_kind)]
"""A model as its name, or with parameters."""


class ChoiceFile(_Part):
    """One of several models; the first whose condition holds is asked."""

    if_: str | None = Field(default=None, alias="if")
    """Jinja expression without braces over dimensions, as `sentiment.label == "negative"`. The last choice has none."""
    use: ModelText
    """The model."""


class MessageFile(_Part):
    """One message of a prompt."""

    role: Role
    """Who says it."""
    content: str
    """Jinja template."""


class FunctionFile(_Part):
    """A function of the user's own, in Python."""

    function: str
    """Dotted path, as `my_package.merges.join_topics`."""


OutputText = Annotated[
    Annotated[str, Tag("text")] | Annotated[dict[str, Any], Tag("mapping")],
    Discriminator(_kind),
]
"""An output as a dotted path or a JSON schema."""


class DimensionFile(_Part):
    """One analysis: a prompt, an output, a model, dependencies."""

    prompt: Annotated[
        Annotated[str, Tag("text")] | Annotated[list[MessageFile], Tag("list")],
        Discriminator(_kind),
    ]
    """Jinja template, or a list of messages. Its variables name what it needs: `item` (in a global: `items`) and other
    dimensions, as in `{{ item.content }}` and `{{ sentiment.label }}`."""
    output: OutputText = "text"
    """JSON schema of the answer, or the dotted path of a pydantic class (any type that pydantic knows), or `text`."""
    scope: Scope = "item"
    """`item`: one answer per item. `global`: one over all of them."""
    over: str | None = None
    """The regroup whose items it is about; known from the prompt where that names a dimension over it."""
    per: str | None = None
    """For a global: one answer per group; a Jinja expression over an item's dimensions, as `classify.category`."""
    model: (
        Annotated[
            Annotated[str, Tag("text")]
            | Annotated[ModelFile, Tag("mapping")]
            | Annotated[list[ChoiceFile], Tag("list")],
            Discriminator(_kind),
        ]
        | None
    ) = None
    """A model, or a list of choices between models; the dag's model if left out."""
    skip_if: str | None = None
    """Jinja expression without braces; where it is true the dimension is skipped and nothing is paid."""
    on_failure: Any = None
    """A value that fits the output, used when the dimension failed; the result is marked `fallback`. No template."""
    after: list[str] = []
    """Dimensions that must have ended before, whatever came of them."""
    on_missing: OnMissing = "skip"
    """If a dependency failed or was skipped: `skip` this one too, `fail`, or `run` with none in its place."""
    system: str | None = None
    """System text, behind the model's own. No template: for one, write a message with the role `system`."""
    temperature: float | None = None
    """Over that of the model."""
    max_tokens: int | None = None
    """Over that of the model."""
    effort: Effort | None = None
    """Over that of the model."""
    timeout_seconds: float | None = None
    """Over that of the model."""
    deadline_seconds: float | None = None
    """Longest time for all tries and fallbacks together."""
    attempts: int | None = None
    """Over those of the model."""
    lane: LaneName | None = None
    """Over that of the model."""
    budget_usd: float | None = None
    """Dollars that the calls of this dimension may cost in a run."""
    version: str | None = None
    """A name of yours for how it is asked; with another one stored answers are not used."""
    max_prompt_tokens: int | None = None
    """For a global: longest prompt (estimated); longer ones are split and their answers merged."""
    samples: int = 1
    """How often the same is asked, on purpose; the answer is the list of the answers."""
    vote: (
        Annotated[
            Annotated[Literal["majority"], Tag("text")] | Annotated[FunctionFile, Tag("mapping")], Discriminator(_kind)
        ]
        | None
    ) = None
    """Makes one answer of several samples: `majority`, the most common one, or a Python function of their list."""
    merge: (
        Annotated[Annotated[str, Tag("text")] | Annotated[FunctionFile, Tag("mapping")], Discriminator(_kind)] | None
    ) = None
    """For a global: how partial answers join. Jinja template of one more prompt, over the list `parts`; or a Python
    function of `parts` that returns a prompt or the joined answer."""


class ComputeFile(_Part):
    """A step that makes a value of others, without a call."""

    compute: Annotated[
        Annotated[str, Tag("text")] | Annotated[FunctionFile, Tag("mapping")],
        Discriminator(_kind),
    ]
    """Jinja expression without braces over `item` (in a global: `items`) and dimensions, as `praise or comfort`; or a
    Python function, whose parameters name what it needs."""
    output: OutputText | None = None
    """What the value must look like, as of a dimension; any JSON-like data if left out."""
    scope: Scope = "item"
    """`item`: one value per item. `global`: one over all of them."""
    over: str | None = None
    """The regroup whose items it is about; known from the expression where that names a dimension over it."""
    per: str | None = None
    """For a global: one value per group; a Jinja expression over an item's dimensions."""
    skip_if: str | None = None
    """Jinja expression without braces; where it is true the step is skipped."""
    after: list[str] = []
    """Dimensions that must have ended before, whatever came of them."""
    on_missing: OnMissing = "skip"
    """If a dependency failed or was skipped: `skip` this one too, `fail`, or `run` with none in its place."""


def _step_kind(value: Any) -> str:
    is_computed = isinstance(value, ComputeFile) or (isinstance(value, Mapping) and "compute" in value)
    return "a computed step" if is_computed else "an analysis"


class RegroupFile(FunctionFile):
    """A step that makes new items of old ones after a global."""

    over: str | None = None
    """The regroup whose items it regroups again."""


class PriceFile(_Part):
    """What a model costs, in US dollars per million tokens."""

    input: float
    """Tokens read."""
    output: float
    """Tokens written, reasoning included."""
    cache_read: float | None = None
    """Tokens read from the vendor's cache; like `input` if left out."""
    cache_write: float | None = None
    """Tokens written to the vendor's cache; like `input` if left out."""
    cache_write_1h: float | None = None
    """Those kept for one hour; like `cache_write` if left out."""
    since: Annotated[date | None, Field(strict=False)] = None
    """First day (UTC) on which this price holds, as `2026-01-31`; always if left out."""


class DagFile(_Part):
    """A graph of LLM analyses."""

    name: str
    """What the dag is called in logs, pictures and labels."""
    model: ModelText | None = None
    """Model of every dimension that names none."""
    prices: dict[
        str,
        Annotated[
            Annotated[PriceFile, Tag("mapping")] | Annotated[list[PriceFile], Tag("list")],
            Discriminator(_kind),
        ],
    ] = {}
    """The user's own prices, by model as `provider:name` or bare name."""
    providers: dict[str, str] = {}
    """The user's own providers, by the name before the colon of a model: dotted path of a class or function that takes
    the model and returns a provider."""
    dimensions: dict[
        str,
        Annotated[
            Annotated[DimensionFile, Tag("an analysis")] | Annotated[ComputeFile, Tag("a computed step")],
            Discriminator(_step_kind),
        ],
    ]
    """The analyses and the computed steps by name, in order."""
    regroups: dict[str, RegroupFile] = {}
    """Steps that make new items, by name."""


def dag_file_schema() -> dict[str, Any]:
    """The JSON schema of dag files, by which editors complete and check them.

    The package ships it as `beam_llmdag/yaml/dag.schema.json`; `llmdag schema` prints it.
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DagFile.model_json_schema(by_alias=True)}

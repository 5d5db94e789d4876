"""The canonical JSON schema of an output, written in the dialect of each API.

What an API cannot enforce moves into the description of the field; what it cannot express at all makes the whole
schema `native=False`: it is then shown to the model as text. Either way the answer is checked against the canonical
schema, and each change leaves a note.

Sources of the rules, as of November 2026: OpenAI "Structured model outputs: supported schemas"; Anthropic "Structured
outputs: JSON schema limitations" and `transform_schema` of its SDK; Google's description of `response_json_schema` in
`google.genai.types`; for `LLAMA` measurements with xllamacpp 2026.10 and a small model: without bounds on texts and
lists 3 of 8 answers ended before the token limit, with bounds 8 of 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beam_llmdag.model import WireSchema
from beam_llmdag.outputs.dialect.dialect import Dialect, written
from beam_llmdag.outputs.dialect.merge import InexpressibleError
from beam_llmdag.outputs.dialect.normal_form import normal_form
from beam_llmdag.outputs.dialect.size import Limits, too_much

__all__ = ["ANTHROPIC", "GOOGLE", "LLAMA", "OPENAI", "VendorDialect", "wire_schema"]

_EVERYWHERE = frozenset({"type", "title", "description", "anyOf", "properties", "required", "items", "enum"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_SIZES = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_OF_LLAMA = frozenset({"minimum", "maximum", "const", "default", "additionalProperties", "pattern", "prefixItems"})
_COMMON_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorDialect:
    """A dialect with the name that notes use for the API, and what is too much for it."""

    api: str
    dialect: Dialect
    limits: Limits = field(default_factory=Limits)


OPENAI = VendorDialect(
    api="OpenAI",
    dialect=Dialect(
        keywords=_EVERYWHERE | _NUMBERS | {"$ref", "const", "additionalProperties", "pattern", "minItems", "maxItems"},
        formats=_COMMON_FORMATS,
        recursion=True,
        closed=True,
        all_required=True,
    ),
    limits=Limits(levels=10, properties=5000, enum_values=1000),
)

ANTHROPIC = VendorDialect(
    api="Anthropic",
    dialect=Dialect(
        keywords=_EVERYWHERE | {"$ref", "const", "additionalProperties"},
        formats=_COMMON_FORMATS | {"uri"},
        small_min_items=True,
        closed=True,
        # the API accepts 24 optional fields and moves them behind the required ones, a reason behind its verdict
        all_required=True,
    ),
    limits=Limits(unions=16),
)

GOOGLE = VendorDialect(
    api="Google",
    dialect=Dialect(
        keywords=_EVERYWHERE | {"minimum", "maximum", "minItems", "maxItems", "prefixItems", "additionalProperties"},
        formats=frozenset({"date-time", "date", "time"}),
        enum_types=frozenset({"string", "integer", "number"}),
        inline=True,
        maps=True,
        ordering=True,
    ),
)

LLAMA = VendorDialect(
    api="the local model",
    dialect=Dialect(
        keywords=_EVERYWHERE | _SIZES | _OF_LLAMA,
        formats=_COMMON_FORMATS,
        bounded_types=frozenset({"integer"}),  # measured: a number with maximum 1 came back as 49
        inline=True,
        closed=True,
        all_required=True,
        longest_text=200,
        longest_list=5,
    ),
)


def wire_schema(canonical: Mapping[str, Any], vendor: VendorDialect) -> WireSchema:
    """`canonical` as `vendor` gets it.

    Args:
        canonical: JSON schema of an object, as pydantic writes it in validation mode, or a user's own.
        vendor: one of `OPENAI`, `ANTHROPIC`, `GOOGLE` and `LLAMA`.

    Returns:
        A native schema in the dialect; or, where the API has no words for it, `canonical` itself with `native=False`.
    """
    try:
        form, notes = normal_form(canonical)
        schema, more_notes = written(form, vendor.dialect)
        excess = too_much(schema, vendor.limits)
        if excess:
            raise InexpressibleError("", excess)
    except InexpressibleError as reason:
        where = reason.path or "the answer"
        note = f"{where}: {reason.why}; {vendor.api} cannot enforce that, so the prompt shows the schema instead"
        return WireSchema(schema=canonical, native=False, notes=(note,))
    return WireSchema(schema=schema, notes=tuple(dict.fromkeys([*notes, *more_notes])))

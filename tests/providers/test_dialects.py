"""One canonical schema in the words of each API."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from helpers import places
from pydantic import BaseModel, Field

from beam_llmdag.providers.dialects import ANTHROPIC, GOOGLE, LLAMA, OPENAI, VendorDialect, wire_schema

GOLDEN = places.GOLDEN / "schemas"
ALL = {"openai": OPENAI, "anthropic": ANTHROPIC, "google": GOOGLE, "llama": LLAMA}
EACH = pytest.mark.parametrize("vendor", ALL.values(), ids=ALL.keys())
PAIRS = pytest.mark.parametrize("vendor", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])


class Refund(BaseModel):
    kind: Literal["refund"]
    amount_cents: int


class Question(BaseModel):
    kind: Literal["question"]
    about: str


class Intent(BaseModel):
    intent: Annotated[Refund | Question, Field(discriminator="kind")]


class Counts(BaseModel):
    label: Literal["a", "b"]
    counts: dict[str, int]


class Optional(BaseModel):
    note: str | None = None
    stars: int = 3


class Axis(BaseModel):
    label: str


class Chart(BaseModel):
    x: Axis
    y: Axis
    others: list[Axis]


class Bounds(BaseModel):
    confidence: float = Field(ge=0, le=1)
    tags: list[str] = Field(min_length=2, max_length=5)
    code: str = Field(pattern=r"^[A-Z]{3}$")


class Why(BaseModel):
    zebra_reasoning: str
    answer: Literal["a", "b"]


class Steps(BaseModel):
    steps: list[Why]
    final: str


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Corners(BaseModel):
    """What is rare."""

    pair: tuple[int, str]
    unique: set[str]
    maybe: Literal["a", None]
    by_colour: dict[Colour, list[Axis]]
    by_pattern: dict[Annotated[str, Field(pattern="^x")], int]
    main: Annotated[Axis, Field(description="the important one")]
    blob: bytes
    short: str = Field(max_length=3, examples=["abc"])
    on: Literal[True]
    version: Literal[1]


GOLDEN_MODELS = {
    "map": Counts,
    "optional": Optional,
    "union": Intent,
    "shared_class": Chart,
    "bounds": Bounds,
    "order": Steps,
    "recursive": Tree,
    "corners": Corners,
}


def keywords(schema: Any) -> set[str]:
    """Every keyword of a schema, names of fields and definitions left out."""
    if isinstance(schema, list):
        return set().union(*map(keywords, schema))
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for key, value in schema.items():
        inside = value.values() if key in ("properties", "$defs") else [value]
        found |= set().union(*(keywords(part) for part in inside if key not in ("enum", "required", "const")), set())
    return found


def wire(declared: Any, vendor: VendorDialect) -> Any:
    return wire_schema(declared if isinstance(declared, dict) else declared.model_json_schema(), vendor)


def field(schema: dict[str, Any], vendor: VendorDialect) -> Any:
    """How a field `f` with `schema` is asked for."""
    written = wire({"type": "object", "properties": {"f": schema}, "required": ["f"]}, vendor)
    return written.schema["properties"]["f"] if written.native else written.notes[0]


@pytest.mark.parametrize("name", GOLDEN_MODELS)
@pytest.mark.parametrize("api", ALL)
def test_the_schema_is_the_one_that_a_reviewer_read(api, name):
    """Cases schema-01 to schema-06: `tests/golden/schemas/<what>.<api>.json`."""
    written = wire(GOLDEN_MODELS[name], ALL[api])
    shown = {"native": written.native, "notes": list(written.notes), "schema": written.schema}
    text = json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
    assert text == (GOLDEN / f"{name}.{api}.json").read_text(encoding="utf-8")


@EACH
@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_every_dialect_is_valid_json_schema(vendor, name):
    jsonschema.Draft202012Validator.check_schema(wire(GOLDEN_MODELS[name], vendor).schema)


@EACH
@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_the_canonical_schema_is_left_as_it_was(vendor, name):
    canonical = GOLDEN_MODELS[name].model_json_schema()
    before = json.dumps(canonical)
    wire_schema(canonical, vendor)
    assert json.dumps(canonical) == before


@PAIRS
def test_every_object_is_closed_and_lists_all_its_fields(vendor):
    """Case schema-01: the API rejects anything else."""

    def check(node: Any) -> None:
        if isinstance(node, dict):
            if "properties" in node:
                assert node["additionalProperties"] is False
                assert node["required"] == list(node["properties"])
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    for model in (Counts, Optional, Intent, Chart, Steps, Corners):
        check(wire(model, vendor).schema)


@PAIRS
def test_a_map_is_a_list_of_pairs_and_the_note_says_so(vendor):
    """Case schema-01."""
    written = wire(Counts, vendor)
    counts = written.schema["properties"]["counts"]
    assert (counts["type"], list(counts["items"]["properties"])) == ("array", ["key", "value"])
    assert "list of key/value pairs" in counts["description"]
    assert written.notes == ("counts: a map is asked for as a list of key/value pairs",)


@EACH
def test_a_discriminated_union_is_any_of(vendor):
    """Case schema-03."""
    assert not keywords(wire(Intent, vendor).schema) & {"oneOf", "discriminator"}
    assert "anyOf" in keywords(wire(Intent, vendor).schema)


def test_one_class_used_twice_is_not_recursive():
    """Case schema-04."""
    written = wire(Chart, GOOGLE)
    assert written.native
    assert written.notes == ()
    assert not keywords(written.schema) & {"$ref", "$defs"}


def test_anthropic_gets_no_bound_that_it_rejects():
    """Case schema-05."""
    assert not keywords(wire(Bounds, ANTHROPIC).schema) & {
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "pattern",
    }


def test_anthropic_keeps_a_minimum_of_one_entry():
    assert field({"type": "array", "items": {"type": "string"}, "minItems": 1}, ANTHROPIC)["minItems"] == 1


@EACH
def test_fields_keep_their_order(vendor):
    """Case schema-06, for a JSON schema of the user as well."""
    names = ["zeta", "alpha", "mid"]
    mine = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": ["mid", "alpha"]}
    assert list(wire(mine, vendor).schema["properties"]) == names
    text = json.dumps(wire(Steps, vendor).schema)
    assert text.index('"zebra_reasoning"') < text.index('"answer"')
    assert text.index('"steps"') < text.index('"final"')


def test_google_is_told_the_order_once_more_at_every_level():
    schema = wire(Steps, GOOGLE).schema
    assert schema["propertyOrdering"] == ["steps", "final"]
    assert schema["properties"]["steps"]["items"]["propertyOrdering"] == ["zebra_reasoning", "answer"]


@pytest.mark.parametrize("vendor", [ANTHROPIC, GOOGLE, LLAMA], ids=["anthropic", "google", "llama"])
def test_a_recursive_type_is_shown_as_text_where_the_api_cannot_take_it(vendor):
    written = wire(Tree, vendor)
    assert (written.native, written.schema) == (False, Tree.model_json_schema())
    assert "children[]: refers back to what it is a part of" in written.notes[0]


def test_openai_takes_a_recursive_type_with_an_object_at_its_root():
    written = wire(Tree, OPENAI)
    assert written.native
    assert written.schema["type"] == "object"
    assert written.schema["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


@EACH
@pytest.mark.parametrize(
    "free",
    [
        {},
        True,
        {"type": "object"},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {}},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"description": "whatever"},
    ],
)
def test_a_free_form_field_is_shown_as_text_and_named(vendor, free):
    written = wire({"type": "object", "properties": {"payload": free}}, vendor)
    assert not written.native
    assert written.notes[0].startswith("payload")
    assert vendor.api in written.notes[0]


@EACH
def test_an_empty_class_is_no_free_form(vendor):
    assert wire({"type": "object", "properties": {}}, vendor).native


@EACH
def test_extra_fields_beside_declared_ones_are_not_asked_for(vendor):
    mine = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}}
    written = wire(mine, vendor)
    assert list(written.schema["properties"]) == ["a"]
    assert "the answer: fields beyond the declared ones are not asked for" in written.notes


@EACH
def test_nothing_is_lost_without_a_note(vendor):
    """A keyword that no API knows still reaches the model as words."""
    mine = {"type": "string", "contentMediaType": "text/html", "x-unit": "mm"}
    assert 'holds text/html; x-unit: "mm"' in field(mine, vendor)["description"]


@pytest.mark.parametrize("pattern", [r"^(?!x).*$", r"(a)\1", r"\bword\b"])
@pytest.mark.parametrize("vendor", [OPENAI, LLAMA], ids=["openai", "llama"])
def test_a_pattern_beyond_regular_languages_is_words(vendor, pattern):
    asked = field({"type": "string", "pattern": pattern}, vendor)
    assert "pattern" not in asked
    assert f"matches the regular expression {pattern}" in asked["description"]


def test_a_format_that_the_api_knows_is_sent_and_another_one_is_words():
    assert field({"type": "string", "format": "date-time"}, OPENAI)["format"] == "date-time"
    assert field({"type": "string", "format": "path"}, OPENAI) == {
        "type": "string",
        "description": "in the format path",
    }


@EACH
def test_a_list_of_types_is_a_choice(vendor):
    asked = field({"type": ["string", "null"], "enum": ["a", None]}, vendor)
    assert asked == {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}


def test_keywords_go_to_the_type_that_they_are_about():
    asked = field({"type": ["array", "null", "integer"], "items": {"type": "string"}, "minimum": 1}, OPENAI)
    assert asked["anyOf"] == [
        {"items": {"type": "string"}, "type": "array"},
        {"type": "null"},
        {"minimum": 1, "type": "integer"},
    ]


@EACH
def test_all_of_is_merged(vendor):
    mine = {
        "$defs": {"Base": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}},
        "type": "object",
        "properties": {
            "f": {
                "allOf": [
                    {"$ref": "#/$defs/Base"},
                    {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
                ]
            }
        },
        "required": ["f"],
    }
    f = wire(mine, vendor).schema["properties"]["f"]
    assert (f["properties"], f["required"]) == ({"a": {"type": "integer"}, "b": {"type": "boolean"}}, ["a", "b"])


def test_all_of_bounds_takes_the_stricter_ones():
    asked = field(
        {"allOf": [{"type": "number", "minimum": 1, "maximum": 9}, {"type": "integer", "minimum": 3}]}, OPENAI
    )
    assert asked == {"type": "integer", "minimum": 3, "maximum": 9}


def test_all_of_a_single_reference_with_a_description_is_that_reference():
    mine = {"$defs": {"A": Axis.model_json_schema()}, "type": "object"}
    mine["properties"] = {"f": {"allOf": [{"$ref": "#/$defs/A"}], "description": "mine"}}
    assert wire(mine, OPENAI).schema["properties"]["f"]["description"] == "mine"


@EACH
def test_what_no_value_can_fit_is_shown_as_text(vendor):
    assert "has to be 'string' and 'boolean' at once" in field(
        {"allOf": [{"type": "string"}, {"type": "boolean"}]}, vendor
    )


@EACH
def test_a_reference_that_leads_nowhere_is_named(vendor):
    assert field({"$ref": "#/$defs/Nobody"}, vendor).startswith("f: refers to '#/$defs/Nobody', which does not exist")


@EACH
@pytest.mark.parametrize("ref", ["#", "#/$defs/A"])
def test_a_root_that_refers_to_itself_alone_is_shown_as_text(vendor, ref):
    mine = {"$ref": ref, "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert wire(mine, vendor).native is False


@EACH
def test_definitions_of_older_drafts_are_found(vendor):
    mine = {
        "definitions": {"A": {"type": "integer"}},
        "type": "object",
        "properties": {"f": {"$ref": "#/definitions/A"}},
    }
    written = wire(mine, vendor)
    assert written.native
    assert '"type": "integer"' in json.dumps(written.schema)
    assert "#/definitions" not in json.dumps(written.schema)


@EACH
def test_a_reference_into_the_properties_is_inlined(vendor):
    mine = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}}
    assert wire(mine, vendor).schema["properties"]["b"] == {"type": "integer"}


@EACH
def test_a_choice_at_the_root_is_shown_as_text(vendor):
    choice = {"anyOf": [Axis.model_json_schema(), Why.model_json_schema()]}
    assert wire(choice, vendor).notes[0].startswith("the answer: the answer as a whole has to be an object")


@EACH
def test_a_field_that_is_called_like_a_keyword_is_a_field(vendor):
    names = ["type", "enum", "$ref", "properties", "anyOf", "default"]
    mine = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
    assert list(wire(mine, vendor).schema["properties"]) == names


def test_anthropic_accepts_sixteen_choices_and_no_more():
    def many(count: int) -> dict[str, Any]:
        field = {"anyOf": [{"type": "string"}, {"type": "null"}]}
        return {"type": "object", "properties": {f"f{i}": field for i in range(count)}}

    assert wire(many(16), ANTHROPIC).native
    assert "has 17 choices" in wire(many(17), ANTHROPIC).notes[0]
    assert wire(many(17), OPENAI).native


def test_openai_accepts_ten_levels_of_objects_and_no_more():
    def deep(levels: int) -> dict[str, Any]:
        inner = {"type": "string"} if levels == 1 else deep(levels - 1)
        return {"type": "object", "properties": {"f": inner}}

    assert wire(deep(10), OPENAI).native
    assert "has 11 levels of objects" in wire(deep(11), OPENAI).notes[0]


def test_openai_accepts_a_thousand_enum_values_and_no_more():
    def listed(count: int) -> dict[str, Any]:
        return {"type": "object", "properties": {"f": {"enum": [f"v{i}" for i in range(count)]}}}

    assert wire(listed(1000), OPENAI).native
    assert not wire(listed(1001), OPENAI).native


def test_a_local_model_gets_bounds_so_that_it_ends():
    written = wire(Steps, LLAMA)
    steps = written.schema["properties"]["steps"]
    assert steps["maxItems"] == 5
    assert steps["items"]["properties"]["zebra_reasoning"]["maxLength"] == 200
    assert "steps: at most 5 entries, so that the model ends" in written.notes


def test_a_local_model_gets_no_bound_below_the_user_s_own_minimum():
    assert field({"type": "string", "minLength": 900}, LLAMA)["maxLength"] == 900
    assert field({"type": "array", "items": {"type": "integer"}, "minItems": 9}, LLAMA)["maxItems"] == 9

"""Made-up values satisfy their schema: checked by the jsonschema package."""

from __future__ import annotations

import json
from enum import Enum
from random import Random
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from beam_llmdag.testing import Simulator, sample_value


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str = Field(min_length=3, max_length=12)
    price: float = Field(gt=0, lt=0.5)
    colour: Colour | None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool


class Everything(BaseModel):
    parts: list[Part] = Field(min_length=2, max_length=3)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    counts: dict[str, int]
    pair: tuple[int, str]
    tags: set[Literal["a", "b", "c"]] = Field(min_length=2)
    even: int = Field(multiple_of=2, gt=10, lt=15)
    note: str | None = None


class Node(BaseModel):
    name: str
    children: list[Node]
    parent: Node | None


def samples(schema: dict[str, Any], count: int = 200) -> list[Any]:
    return [sample_value(schema, Random(seed)) for seed in range(count)]


@pytest.mark.parametrize("model", [Everything, Node, Part, Cat])
def test_a_pydantic_models_schema_is_satisfied(model):
    for value in samples(model.model_json_schema()):
        model.model_validate_json(json.dumps(value))


@pytest.mark.parametrize(
    "schema",
    [
        {"const": 7},
        {"enum": ["x", None, 3]},
        {"type": ["integer", "null"], "minimum": 3, "maximum": 4},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "integer", "maximum": -5},
        {"type": "number", "minimum": 0.25, "maximum": 0.25},
        {"type": "number", "exclusiveMinimum": -1, "maximum": -0.999},
        {"type": "number", "multipleOf": 0.5, "minimum": 2},
        {"minimum": 3, "maximum": 9},
        {"type": "string", "minLength": 40},
        {"type": "string", "maxLength": 2},
        {"type": "string", "format": "date-time"},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 5},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3, "maxItems": 3},
        {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 3},
        {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1},
        {"allOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, {"$ref": "#/$defs/b"}],
         "$defs": {"b": {"properties": {"b": {"const": 2}}, "required": ["b"]}}},
        {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "keys beside it"},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}},
        {"items": {"type": "null"}},
        {},
    ],
)  # fmt: skip
def test_a_json_schema_is_satisfied(schema):
    for value in samples(schema):
        jsonschema.validate(value, schema, jsonschema.Draft202012Validator)


def test_values_of_a_union_and_an_enum_vary():
    kinds = {value["pet"]["kind"] for value in samples(Everything.model_json_schema())}
    assert kinds == {"cat", "dog"}


def test_gemini_s_capitals_and_nullable_are_understood():
    schema = {
        "type": "OBJECT",
        "properties": {"n": {"type": "INTEGER", "nullable": True, "minimum": 1.0, "maximum": 2.0}},
        "required": ["n"],
    }
    assert {value["n"] for value in samples(schema)} == {1, 2, None}


def test_a_number_without_bounds_is_a_share_and_a_whole_one_a_rating():
    assert all(0 <= value <= 1 for value in samples({"type": "number"}))
    assert set(samples({"type": "integer"})) == {0, 1, 2, 3, 4, 5}


def test_a_reference_to_nowhere_is_an_error():
    with pytest.raises(ValueError, match="no '#/\\$defs/x'"):
        sample_value({"$ref": "#/$defs/x"}, Random(0))


def test_a_schema_of_infinite_values_is_an_error():
    schema = {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}}}
    with pytest.raises(ValueError, match="no finite value"):
        sample_value(schema, Random(0))


def test_the_same_request_gets_the_same_answer_in_every_run(raw, label_schema):
    def answers(seed: int) -> list[str]:
        with Simulator(seed=seed) as sim:
            return [raw.ask(sim, prompt=str(n), schema=Part.model_json_schema()).text for n in range(5)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


def test_without_a_schema_the_answer_is_a_text(raw):
    with Simulator() as sim:
        assert raw.ask(sim).text == f"Simulated answer {sim.requests[0].fingerprint[:8]}."

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from beam_llmdag.errors import GraphError
from beam_llmdag.records.arrow_schemas import arrow_field, arrow_type, globals_schema, is_json_text, rows_schema


def serialized(type_):
    return TypeAdapter(type_).json_schema(mode="serialization", by_alias=False)


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Part(BaseModel):
    name: str
    weight: float | None


class Nothing(BaseModel):
    pass


class Node(BaseModel):
    value: int
    children: list["Node"]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    lives: str
    tricks: list[str]


TEXT = pa.string()


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (str, TEXT),
        (int, pa.int64()),
        (float, pa.float64()),
        (bool, pa.bool_()),
        (int | None, pa.int64()),
        (date, TEXT),
        (Decimal, TEXT),
        (Literal["a", "b"], TEXT),
        (Literal[1, None], pa.int64()),
        (Size, pa.int64()),
        (list[int | None], pa.list_(pa.int64())),
        (tuple[float, float], pa.list_(pa.float64())),
        (set[str], pa.list_(TEXT)),
        (dict[str, int], pa.map_(TEXT, pa.int64())),
        (dict[str, Part], pa.map_(TEXT, pa.struct([("name", TEXT), ("weight", pa.float64())]))),
        (Part, pa.struct([("name", TEXT), ("weight", pa.float64())])),
        (list[Part] | None, pa.list_(pa.struct([("name", TEXT), ("weight", pa.float64())]))),
        (Node, pa.struct([("value", pa.int64()), ("children", pa.list_(TEXT))])),
    ],
)
def test_a_type_becomes_a_typed_column(type_, expected):
    assert arrow_type(serialized(type_)) == expected


@pytest.mark.parametrize("type_", [int | str, int | float, Any, dict[str, Any] | None, tuple[int, str], Nothing, Open])
def test_a_type_that_no_column_type_can_hold_is_json_text(type_):
    field = arrow_field("data", serialized(type_))
    json_text = is_json_text(field) or is_json_text(field.type.item_field)
    assert json_text
    assert pa.types.is_string(field.type) or field.type == pa.map_(TEXT, TEXT)


def test_a_text_column_is_not_json_text():
    assert not is_json_text(arrow_field("data", serialized(str)))
    assert not is_json_text(arrow_field("data", None))


def test_the_children_of_a_tree_are_json_text():
    children = arrow_type(serialized(Node)).field("children")
    assert is_json_text(children.type.value_field)


def test_a_discriminated_union_is_one_struct():
    union = Annotated[Cat | Dog, Field(discriminator="kind")]
    type_ = arrow_type(serialized(union))
    assert type_ == pa.struct([("kind", TEXT), ("lives", TEXT), ("tricks", pa.list_(TEXT))])
    assert is_json_text(type_.field("lives"))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"]}, TEXT),
        ({"enum": ["a", None]}, TEXT),
        ({"type": "string", "anyOf": [{"pattern": "^a"}, {"format": "date"}]}, TEXT),
        ({"type": "array"}, pa.list_(TEXT)),
        ({"type": "object", "patternProperties": {"^x": {"type": "integer"}}}, pa.map_(TEXT, pa.int64())),
        ({"properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": {"type": "integer"}}},
         pa.struct([("a", pa.int64())])),
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}]},
         pa.struct([("a", pa.int64())])),
        ({"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {"type": "boolean"}}}]},
         pa.struct([("a", pa.int64()), ("b", pa.bool_())])),
    ],
)  # fmt: skip
def test_a_json_schema_written_by_hand_becomes_a_typed_column(schema, expected):
    assert arrow_type(schema) == expected


def test_a_reference_that_leads_nowhere_is_an_error():
    with pytest.raises(GraphError, match="the reference '#/\\$defs/B' leads nowhere"):
        arrow_type({"$ref": "#/$defs/B", "$defs": {"A": {}}})


RESULT_NAMES = [
    "status",
    "data",
    "reason",
    "error_class",
    "message",
    "model",
    "store_hit",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "cost_nano_usd",
    "attempts",
]


def test_a_file_of_rows_has_a_struct_per_dimension():
    schema = rows_schema({"size": serialized(Size), "note": None})
    assert schema.names == ["id", "content", "metadata", "source_ids", "size", "note"]
    assert [field.name for field in schema.field("size").type] == RESULT_NAMES
    assert schema.field("size").type.field("data").type == pa.int64()
    assert schema.field("note").type.field("data").type == TEXT


def test_a_file_of_a_global_has_its_fields_as_columns():
    assert globals_schema(serialized(Part)).names == ["dimension", "item_id", *RESULT_NAMES, "left_out"]


@pytest.mark.parametrize("name", ["content", "ID"])
def test_a_dimension_called_like_a_fixed_column_is_an_error(name):
    with pytest.raises(GraphError, match=f"dimension '{name}': .* the column '{name.lower()}' .*rename the dimension"):
        rows_schema({name: None})


def test_dimensions_that_differ_in_case_alone_are_an_error():
    with pytest.raises(GraphError, match=r"dimension 'Topics': .* the dimension 'topics'"):
        rows_schema({"topics": None, "Topics": None})

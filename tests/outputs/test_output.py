"""What may be declared as an output, and how answers become data and typed objects again."""

import datetime
import enum
import json
import pickle
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, StringConstraints, computed_field
from typing_extensions import TypedDict

from beam_llmdag.errors import CallError, GraphError
from beam_llmdag.outputs.output import Output


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    y: int = 0


class Shape(BaseModel):
    name: str = Field(alias="shapeName")
    corners: list[Point]
    colour: Colour | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Owner(BaseModel):
    pet: Pet


class Counts(BaseModel):
    by_word: dict[str, int]
    nested: dict[str, dict[str, Point]] = {}
    maybe: dict[str, int] | None = None
    numbered: dict[int, str] = {}
    either: dict[str, int] | list[str] = []
    patterned: dict[Annotated[str, StringConstraints(pattern="^a")], int] = {}


class Tags(RootModel[list[str]]):
    pass


class Ratings(RootModel[dict[str, int]]):
    pass


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


class Sized(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.width**2


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Dated(BaseModel):
    day: datetime.date
    at: datetime.datetime


@dataclass
class Pair:
    left: int
    right: str = "r"


class Movie(TypedDict):
    title: str
    year: int


CAT = {"kind": "cat", "lives": 9}
MOVIE = {"title": "M", "year": 1931}
JSON_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

GOOD = [
    (Point, {"x": 1}, {"x": 1, "y": 0}, Point(x=1)),
    (Point, {"x": 1, "y": 2}, {"x": 1, "y": 2}, Point(x=1, y=2)),
    (
        Shape,
        {"shapeName": "s", "corners": [{"x": 1}], "colour": "red"},
        {"name": "s", "corners": [{"x": 1, "y": 0}], "colour": "red"},
        Shape(shapeName="s", corners=[Point(x=1)], colour=Colour.RED),
    ),
    (Owner, {"pet": CAT}, {"pet": CAT}, Owner(pet=Cat(kind="cat", lives=9))),
    (Pet, {"value": CAT}, CAT, Cat(kind="cat", lives=9)),
    (Pet, CAT, CAT, Cat(kind="cat", lives=9)),
    (Tags, {"value": ["a"]}, ["a"], Tags(["a"])),
    (Ratings, {"value": {"a": 1}}, {"a": 1}, Ratings({"a": 1})),
    (Ratings, {"value": [{"key": "a", "value": 1}]}, {"a": 1}, Ratings({"a": 1})),
    (Ratings, {"a": 1}, {"a": 1}, Ratings({"a": 1})),
    (Colour, {"value": "red"}, "red", Colour.RED),
    (Literal["a", "b"], {"value": "b"}, "b", "b"),
    (list[Point], {"value": [{"x": 1}]}, [{"x": 1, "y": 0}], [Point(x=1)]),
    (Optional[Point], {"value": None}, None, None),  # noqa: UP045 - the old spelling has to work as well
    (Point | None, {"value": {"x": 1}}, {"x": 1, "y": 0}, Point(x=1)),
    (Pair, {"left": 1}, {"left": 1, "right": "r"}, Pair(1)),
    (Movie, MOVIE, MOVIE, MOVIE),
    (dict[str, int], {"value": [{"key": "a", "value": 1}]}, {"a": 1}, {"a": 1}),
    (int, {"value": 3}, 3, 3),
    (bool, {"value": True}, True, True),
    (tuple[int, str], {"value": [1, "a"]}, [1, "a"], (1, "a")),
    (Annotated[str, StringConstraints(max_length=3)], {"value": "abc"}, "abc", "abc"),
    (
        Tree,
        {"name": "a", "children": [{"name": "b", "children": []}]},
        {"name": "a", "children": [{"name": "b", "children": []}]},
        Tree(name="a", children=[Tree(name="b")]),
    ),
    (Sized, {"width": 2}, {"width": 2, "area": 4}, Sized(width=2)),
    (Open, {"a": 1, "b": [2]}, {"a": 1, "b": [2]}, Open(a=1, b=[2])),
    (
        Dated,
        {"day": "2026-03-29", "at": "2026-03-29T01:30:00Z"},
        {"day": "2026-03-29", "at": "2026-03-29T01:30:00Z"},
        Dated(day=datetime.date(2026, 3, 29), at=datetime.datetime(2026, 3, 29, 1, 30, tzinfo=datetime.UTC)),
    ),
    (JSON_SCHEMA, {"a": 1, "b": "x"}, {"a": 1, "b": "x"}, {"a": 1, "b": "x"}),
    ({"type": "array", "items": {"type": "string"}}, {"value": ["a"]}, ["a"], ["a"]),
    ({"enum": ["a", 1, None]}, {"value": None}, None, None),
]


@pytest.mark.parametrize(("declared", "written", "data", "typed"), GOOD)
def test_an_answer_becomes_data_and_a_typed_object_again(declared: Any, written: Any, data: Any, typed: Any) -> None:
    output = Output(declared)
    assert output.load(written) == data
    assert output.rebuild(json.loads(json.dumps(data))) == typed
    assert output.dump(typed) == data


@pytest.mark.parametrize(("declared", "written", "data", "typed"), GOOD)
def test_an_output_survives_pickling(declared: Any, written: Any, data: Any, typed: Any) -> None:
    copy = pickle.loads(pickle.dumps(Output(declared)))
    assert copy.schema == Output(declared).schema
    assert copy.load(written) == data


@pytest.mark.parametrize(("declared", "written", "data", "typed"), GOOD)
def test_the_schema_has_an_object_at_its_root(declared: Any, written: Any, data: Any, typed: Any) -> None:
    schema = Output(declared).schema
    assert schema is not None
    assert schema["type"] == "object"


def test_text_is_no_schema() -> None:
    output = Output(str)
    assert output.is_text
    assert output.schema is None
    assert output.data_schema is None
    assert output.rebuild("a") == "a"


def test_fields_keep_their_order() -> None:
    """Case schema-06-order-of-fields."""

    class Verdict(BaseModel):
        reasoning: str
        answer: bool
        all_in_all: str

    schema = Output(Verdict).schema
    assert schema is not None
    assert list(schema["properties"]) == ["reasoning", "answer", "all_in_all"]


def test_the_model_writes_aliases_and_the_data_has_names() -> None:
    output = Output(Shape)
    assert output.schema is not None
    assert output.data_schema is not None
    assert list(output.schema["properties"]) == ["shapeName", "corners", "colour"]
    assert list(output.data_schema["properties"]) == ["name", "corners", "colour"]


def test_a_map_at_the_root_is_wrapped_because_it_may_be_asked_for_as_a_list() -> None:
    assert Output(dict[str, int]).schema == {
        "type": "object",
        "properties": {"value": {"type": "object", "additionalProperties": {"type": "integer"}}},
        "required": ["value"],
    }


@pytest.mark.parametrize(
    ("field", "written", "data"),
    [
        ("nested", [{"key": "a", "value": [{"key": "b", "value": {"x": 1}}]}], {"a": {"b": {"x": 1, "y": 0}}}),
        ("nested", {"a": [{"key": "b", "value": {"x": 1}}]}, {"a": {"b": {"x": 1, "y": 0}}}),
        ("maybe", [{"key": "a", "value": 1}], {"a": 1}),
        ("maybe", None, None),
        ("maybe", [], {}),
        ("numbered", [{"key": 1, "value": "a"}], {"1": "a"}),
        ("either", [], []),
        ("either", ["a"], ["a"]),
        ("either", [{"key": "a", "value": 1}], {"a": 1}),
        ("patterned", [{"key": "ab", "value": 1}], {"ab": 1}),
    ],
)
def test_pairs_are_maps_again_wherever_they_stand(field: str, written: Any, data: Any) -> None:
    """Kind of schema-01-openai-map-field."""
    assert Output(Counts).load({"by_word": [], field: written})[field] == data


def test_pairs_are_maps_again_in_a_recursive_json_schema() -> None:
    output = Output(
        {
            "type": "object",
            "properties": {
                "scores": {"type": ["object", "null"], "additionalProperties": {"type": "integer"}},
                "inner": {"$ref": "#"},
            },
        }
    )
    pairs = [{"key": "a", "value": 1}]
    assert output.load({"inner": {"inner": {"scores": pairs}}}) == {"inner": {"inner": {"scores": {"a": 1}}}}


def test_pairs_that_are_a_list_of_pairs_stay_one() -> None:
    class Entry(BaseModel):
        key: str
        value: int

    entries = [{"key": "a", "value": 1}]
    assert Output(list[Entry]).load({"value": entries}) == entries


def test_a_key_with_two_values_is_refused_in_pairs() -> None:
    pairs = [{"key": "a", "value": 1}, {"key": "a", "value": 2}]
    with pytest.raises(CallError, match="the key 'a' stands twice in a map"):
        Output(dict[str, int]).load({"value": pairs})


@pytest.mark.parametrize(
    ("declared", "written", "told"),
    [
        (Point, {}, "x: Field required"),
        (Point, {"x": "one"}, "x: Input should be a valid integer"),
        (Shape, {"shapeName": "s", "corners": [{"x": 1}, {}]}, "corners.1.x: Field required"),
        (Owner, {"pet": {"kind": "cow"}}, "pet: Input tag 'cow'"),
        (Annotated[int, Field(ge=1)], {"value": 0}, "Input should be greater than or equal to 1"),
        (Colour, {"value": "green"}, "Input should be 'red' or 'blue'"),
        (JSON_SCHEMA, {"a": "x"}, "a: 'x' is not of type 'integer'"),
        (JSON_SCHEMA, {}, "'a' is a required property"),
        (JSON_SCHEMA, {"a": 1, "b": float("nan")}, "b: nan is no JSON number"),
    ],
)
def test_what_does_not_fit_is_refused_by_field(declared: Any, written: Any, told: str) -> None:
    with pytest.raises(CallError) as info:
        Output(declared).load(written)
    assert info.value.error_class == "invalid_answer"
    assert info.value.message.startswith(told)


def test_only_the_first_errors_are_told() -> None:
    with pytest.raises(CallError, match=r"9: .*; and 90 more$"):
        Output(list[int]).load({"value": ["x"] * 100})


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (None, "not None: leave output away, or write output=str, for plain text"),
        (3, "not 3: "),
        ("Sentiment", "not 'Sentiment': "),
        (Point(x=1), "not Point(x=1, y=0): "),
        (len, "not <built-in function len>: "),
        (lambda: 1, "not <function <lambda>"),
        (list["Missing"], "not list['Missing']: "),  # type: ignore[name-defined]  # noqa: F821
        ({}, "asks for nothing: it has no 'type', 'properties' or 'anyOf'; its keys are missing"),
        ({"label": "string"}, "asks for nothing: it has no 'type', 'properties' or 'anyOf'; its keys are 'label'"),
        ({"type": "strnig"}, "the output is no valid JSON schema: type: 'strnig' is not valid"),
        (
            {"type": "object", "properties": ["a"]},
            "the output is no valid JSON schema: properties: ['a'] is not of type",
        ),
        (
            {"type": "array", "items": {"$ref": "#/$defs/A"}},
            "the output refers to '#/$defs/A', which is not in its '$defs'",
        ),
        ({"$ref": "https://example.com/a.json"}, "the output refers to 'https://example.com/a.json', which is not in"),
        ({"type": "array", "items": {"$ref": "#"}}, "the output refers to '#', which is not in its '$defs'"),
    ],
)
def test_what_is_no_output_is_an_error_that_says_so(declared: Any, told: str) -> None:
    with pytest.raises(GraphError) as info:
        Output(declared)
    assert told in str(info.value)


def test_old_definitions_are_read() -> None:
    output = Output(
        {
            "definitions": {
                "Name": {"type": "string"},
                "Names": {"type": "array", "items": {"$ref": "#/definitions/Name"}},
            },
            "type": "array",
            "items": {"$ref": "#/definitions/Names"},
        }
    )
    assert output.schema == {
        "$defs": {"Name": {"type": "string"}, "Names": {"type": "array", "items": {"$ref": "#/$defs/Name"}}},
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"$ref": "#/$defs/Names"}}},
        "required": ["value"],
    }
    assert output.load({"value": [["a"]]}) == [["a"]]
    with pytest.raises(CallError, match="1 is not of type 'string'"):
        output.load({"value": [[1]]})


def test_anything_may_be_asked_for() -> None:
    assert Output(JsonValue).load({"value": {"a": [1, None]}}) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("declared", "value", "data"),
    [
        (str, "a\ud83cb", "a\ufffdb"),
        (Point, {"x": 1}, {"x": 1, "y": 0}),
        (Shape, {"name": "s", "corners": []}, {"name": "s", "corners": [], "colour": None}),
        (Shape, {"shapeName": "s", "corners": []}, {"name": "s", "corners": [], "colour": None}),
        (JSON_SCHEMA, {"a": 1}, {"a": 1}),
    ],
)
def test_a_value_of_the_user_is_checked_like_an_answer(declared: Any, value: Any, data: Any) -> None:
    assert Output(declared).dump(value) == data


@pytest.mark.parametrize(
    ("declared", "value"), [(str, None), (str, 3), (Point, {}), (Point, "a"), (JSON_SCHEMA, {"a": "b"})]
)
def test_a_value_of_the_user_that_does_not_fit_is_refused(declared: Any, value: Any) -> None:
    with pytest.raises(CallError):
        Output(declared).dump(value)

"""Typed answers: the validated object, once, and the same bytes of it everywhere."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar

import pytest
from helpers.places import ROOT
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainValidator,
    PrivateAttr,
    RootModel,
    Secret,
    SecretStr,
    TypeAdapter,
    WrapValidator,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from beam_llmdag import Dag, GraphError, Model
from beam_llmdag.outputs.output import Output
from beam_llmdag.testing import Reply, Simulator

CALLS: list[str] = []


def scaled(value: Any) -> Any:
    CALLS.append("scaled")
    return value * 100


def stripped(value: str) -> str:
    CALLS.append("stripped")
    if not value.startswith("OK:"):
        raise ValueError("it has to start with OK:")
    return value.removeprefix("OK:")


class Score(BaseModel):
    percent: float

    @field_validator("percent")
    @classmethod
    def of_a_share(cls, value: float) -> float:
        return float(scaled(value))


class Coded(BaseModel):
    code: Annotated[str, Field(pattern="^OK:"), AfterValidator(stripped)]
    share: float = Field(ge=0, le=1)

    @field_validator("share")
    @classmethod
    def of_a_share(cls, value: float) -> float:
        return float(scaled(value))


class Renamed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    size: int = Field(alias="theSize")

    @model_validator(mode="before")
    @classmethod
    def other_keys(cls, data: Any) -> Any:
        CALLS.append("before")
        return {"name": data["title"], "theSize": data["n"] + 1}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.size


class Crossed(BaseModel):
    first: int = Field(alias="second")
    second: int = Field(alias="first")


class Around(BaseModel):
    count: int
    _seen: int = PrivateAttr(7)

    @model_validator(mode="after")
    def one_more(self) -> Around:
        CALLS.append("after")
        self.count += 1
        return self

    @model_validator(mode="wrap")
    @classmethod
    def twice(cls, data: Any, handler: Callable[[Any], Any]) -> Any:
        made = handler(data)
        made.count *= 2
        return made

    def model_post_init(self, context: Any) -> None:
        self.count += 100


class Started(BaseModel):
    count: int

    def __init__(self, **data: Any) -> None:
        CALLS.append("init")
        super().__init__(**{**data, "count": int(data["count"]) + 1})


@dataclasses.dataclass
class Made:
    length: int
    start: dataclasses.InitVar[int] = 3
    end: int = dataclasses.field(init=False, default=0)

    def __post_init__(self, start: int) -> None:
        CALLS.append("post_init")
        self.length *= 10
        self.end = start + self.length


class Film(TypedDict):
    rank: Annotated[int, AfterValidator(scaled)]
    day: date


class Pair(NamedTuple):
    left: Annotated[int, AfterValidator(scaled)]
    right: str = "r"


class Ranks(RootModel[Annotated[list[int], AfterValidator(lambda ranks: [*ranks, 0])]]):
    pass


Value = TypeVar("Value")


class Box(BaseModel, Generic[Value]):
    value: Value
    inner: Optional[Box[Value]] = None  # noqa: UP045


class Cat(BaseModel):
    kind: Literal["cat"] = Field(alias="type")
    lives: Annotated[int, BeforeValidator(scaled)]


class Dog(BaseModel):
    kind: Literal["dog"] = Field(alias="type")
    lives: int


class Zoo(BaseModel):
    model_config = ConfigDict(frozen=True)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    best: Score | None = None
    scores: dict[str, list[Score]] = {}


class Odd(BaseModel):
    day: Annotated[date, PlainValidator(lambda text: date.fromisoformat(text) + timedelta(days=1))]
    tags: Annotated[list[str], BeforeValidator(lambda text: text.split(","))]
    eighth: Annotated[int, AfterValidator(lambda number: number / 8)] = Field(ge=1)
    wrapped: Annotated[str, WrapValidator(lambda text, handler: stripped(handler(text)))]
    numbers: Json[list[int]]


class Tree(BaseModel):
    size: Annotated[int, AfterValidator(scaled)]
    children: list[Tree] = []


class Exact(BaseModel):
    price: Annotated[Decimal, AfterValidator(lambda price: price / 3)]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def built(cls: type[BaseModel], **values: Any) -> Any:
    return cls.model_construct(**values)


ONCE: list[tuple[Any, Any, Any, Any]] = [
    (Score, {"percent": 0.5}, {"percent": 50.0}, built(Score, percent=50.0)),
    (Coded, {"code": "OK:a", "share": 0.5}, {"code": "a", "share": 50.0}, built(Coded, code="a", share=50.0)),
    (Renamed, {"title": "t", "n": 1}, {"name": "t", "size": 2, "double": 4}, built(Renamed, name="t", size=2)),
    (Crossed, {"first": 1, "second": 2}, {"first": 2, "second": 1}, built(Crossed, second=2, first=1)),
    (Started, {"count": 1}, {"count": 2}, built(Started, count=2)),
    (Film, {"rank": 1, "day": "2026-01-02"}, {"rank": 100, "day": "2026-01-02"}, Film(rank=100, day=date(2026, 1, 2))),
    (Pair, {"value": [1, "x"]}, [100, "x"], Pair(100, "x")),
    (Ranks, {"value": [1]}, [1, 0], Ranks.model_construct([1, 0])),
    (Annotated[int, AfterValidator(scaled)], {"value": 3}, 300, 300),
    (list[Score], {"value": [{"percent": 0.5}]}, [{"percent": 50.0}], [built(Score, percent=50.0)]),
    (
        Box[Score],
        {"value": {"percent": 1}, "inner": {"value": {"percent": 2}}},
        {"value": {"percent": 100.0}, "inner": {"value": {"percent": 200.0}, "inner": None}},
        built(
            Box[Score],
            value=built(Score, percent=100.0),
            inner=built(Box[Score], value=built(Score, percent=200.0), inner=None),
        ),
    ),
    (
        Zoo,
        {"pet": {"type": "cat", "lives": 9}, "best": {"percent": 0.5}, "scores": {"a": [{"percent": 0.25}]}},
        {"pet": {"kind": "cat", "lives": 900}, "best": {"percent": 50.0}, "scores": {"a": [{"percent": 25.0}]}},
        built(
            Zoo,
            pet=built(Cat, kind="cat", lives=900),
            best=built(Score, percent=50.0),
            scores={"a": [built(Score, percent=25.0)]},
        ),
    ),
    (
        Odd,
        {"day": "2026-01-02", "tags": "a,b", "eighth": 4, "wrapped": "OK:w", "numbers": "[1, 2]"},
        {"day": "2026-01-03", "tags": ["a", "b"], "eighth": 0.5, "wrapped": "w", "numbers": [1, 2]},
        built(Odd, day=date(2026, 1, 3), tags=["a", "b"], eighth=0.5, wrapped="w", numbers=[1, 2]),
    ),
    (
        Tree,
        {"size": 1, "children": [{"size": 2}]},
        {"size": 100, "children": [{"size": 200, "children": []}]},
        built(Tree, size=100, children=[built(Tree, size=200, children=[])]),
    ),
    (Exact, {"price": "1"}, {"price": "0." + "3" * 28}, built(Exact, price=Decimal(1) / 3)),
]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(("declared", "written", "data", "typed"), ONCE)
def test_what_is_read_from_a_record_is_what_the_record_says(declared: Any, written: Any, data: Any, typed: Any) -> None:
    """Case schema-41."""
    output = Output(declared)
    assert output.load(written) == data
    CALLS.clear()
    rebuilt = output.rebuild(json.loads(json.dumps(data)))
    assert CALLS == []
    assert rebuilt == typed
    assert type(rebuilt) is type(typed)


def test_what_runs_when_an_object_is_made_does_not_run_again() -> None:
    """Kind of schema-41."""
    around, made = Output(Around), Output(Made)
    assert around.load({"count": 1}) == {"count": 204}
    assert made.load({"length": 1}) == {"length": 10, "end": 13}
    CALLS.clear()
    again = around.rebuild({"count": 204})
    assert (again.count, again._seen) == (204, 7)
    assert dataclasses.asdict(made.rebuild({"length": 10, "end": 13})) == {"length": 10, "end": 13}
    assert CALLS == []


def test_a_type_of_its_own_is_made_of_data_again() -> None:
    """Kind of schema-41: what makes an object of a text is no validator that changes it."""

    class Place:
        def __init__(self, text: str) -> None:
            self.text = text

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            from pydantic_core import core_schema

            written = core_schema.plain_serializer_function_ser_schema(lambda path: path.text)
            return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(), serialization=written)

    class Found(BaseModel):
        path: Place
        secret: int = Field(exclude=True)

    output = Output(Found)
    assert output.load({"path": "a/b", "secret": 1}) == {"path": "a/b"}
    again = output.rebuild({"path": "a/b"})
    assert again.path.text == "a/b"
    assert not hasattr(again, "secret")


class Written(BaseModel):
    share: Annotated[float, BeforeValidator(lambda text: float(str(text).rstrip(" %")))]
    plain: float = 1.5

    @field_serializer("share", "plain")
    def with_unit(self, value: float) -> str:
        return f"{value} %"


class Whole(BaseModel):
    parts: list[int]

    @model_serializer
    def joined(self) -> str:
        return "-".join(map(str, self.parts))


def test_what_a_serializer_wrote_is_read_by_the_validator_that_knows_it_or_as_it_is() -> None:
    """Kind of schema-41."""
    written, whole = Output(Written), Output(dict[str, Whole])
    assert written.load({"share": "5 %"}) == {"share": "5.0 %", "plain": "1.5 %"}
    again = written.rebuild({"share": "5.0 %", "plain": "1.5 %"})
    assert (again.share, again.plain) == (5.0, "1.5 %")
    assert whole.load({"a": {"parts": [1, 2]}}) == {"a": "1-2"}
    assert whole.rebuild({"a": "1-2"}) == {"a": "1-2"}


def test_the_next_dimension_sees_the_number_of_the_record(simulator: Simulator) -> None:
    """Case schema-41."""
    simulator.script([Reply('{"percent": 0.5}')], when=lambda request: request.prompt == "x")
    simulator.script([Reply("fine")])
    dag = Dag("case", model=Model("openai:gpt-5-mini", base_url=simulator.base_url("openai")))
    dag.dimension(lambda item: item.content, name="analyze", output=Score)
    skip_if = lambda analyze: analyze.percent > 100  # noqa: E731
    dag.dimension(lambda item, analyze: f"P {analyze.percent}", name="second", skip_if=skip_if)
    report = dag.run([{"id": "a", "content": "x"}], store=False)
    assert [request.prompt for request in simulator.requests] == ["x", "P 50.0"]
    assert report.answers("analyze")["a"].percent == 50.0
    assert report.items[0].results["analyze"].data == {"percent": 50.0}


SETS = """
import enum, json, sys
from decimal import Decimal
from pydantic import BaseModel
from beam_llmdag.outputs.output import Output

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"

class Pair(BaseModel, frozen=True):
    a: str
    b: int

class Answer(BaseModel):
    labels: set[str]
    codes: frozenset[str] = frozenset({"q", "c", "k"})
    by_day: dict[str, set[str]] = {"mon": {"y", "b", "m"}}
    prices: dict[str, set[Decimal]] = {}
    colours: set[Colour] = set(Colour)
    pairs: frozenset[Pair] = frozenset({Pair(a="x", b=2), Pair(a="x", b=1), Pair(a="a", b=3)})
    numbers: set[int] = {10, 9, 200}
    either: set[str] | None = None

output = Output(Answer)
data = output.load({"labels": ["zinc", "amber", "moss", "amber"], "prices": {"a": ["0.10", "3"]}, "either": ["b", "a"]})
assert output.rebuild(data).labels == {"zinc", "amber", "moss"}
assert output.rebuild(data).prices == {"a": {Decimal("0.10"), Decimal(3)}}
print(json.dumps([data, output.schema, output.data_schema]))
"""


def test_sets_have_one_order_in_data_and_schemas_whatever_the_hash_seed() -> None:
    """Case schema-51."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = {
        subprocess.run(
            [sys.executable, "-c", SETS],
            env={**environment, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in range(1, 6)
    }
    assert len(printed) == 1
    data = json.loads(printed.pop())[0]
    assert data == {
        "labels": ["amber", "moss", "zinc"],
        "codes": ["c", "k", "q"],
        "by_day": {"mon": ["b", "m", "y"]},
        "prices": {"a": ["0.10", "3"]},
        "colours": ["blue", "green", "red"],
        "pairs": [{"a": "a", "b": 3}, {"a": "x", "b": 1}, {"a": "x", "b": 2}],
        "numbers": [9, 10, 200],
        "either": ["a", "b"],
    }


Empty = enum.Enum("Empty", {})  # type: ignore[misc]


@pytest.mark.parametrize(
    "declared",
    [
        Empty,
        list[Empty],
        set[Empty],
        dict[Empty, int],
        Optional[Empty],  # noqa: UP045
        {"type": "object", "properties": {"category": {"title": "Empty", "enum": []}}},
    ],
)
def test_an_enum_without_members_is_an_error_when_it_is_declared(declared: Any) -> None:
    """Case schema-46."""
    dag = Dag("case", model="anthropic:claude-haiku-4-5")
    with pytest.raises(GraphError, match="dimension 'analyze': the output has the enum 'Empty', which has no members"):
        dag.dimension(lambda item: item.content, name="analyze", output=declared)


BEYOND = [
    (r"^([a-z])([0-9])-\2\1$", "a7-a7", "a7-7a"),
    (r"^(?P<q>['\"])[a-z]+(?P=q)$", "'ab\"", "'ab'"),
    ("^(?>a+)b$", "aaa", "aaab"),
    ("^[0-9]++-x$", "12x", "12-x"),
    (r"^un\Bable$", "un-able", "unable"),
    (r"\Aab\Z", "xab", "ab"),
    ("^(?=a)[a-z]+$", "ba", "ab"),
    ("^(?P<name>a)+?$", "b", "aa"),
    ("^a{0,1000000}$", "b", "a"),
]


@pytest.mark.parametrize("spec", ["openai:gpt-5-mini", "openai-chat:gpt-5-mini"])
@pytest.mark.parametrize(("pattern", "bad", "good"), BEYOND)
def test_a_pattern_that_decoding_cannot_do_is_said_and_checked_here(
    simulator: Simulator, spec: str, pattern: str, bad: str, good: str
) -> None:
    """Case schema-53."""
    simulator.script([Reply(json.dumps({"code": bad})), Reply(json.dumps({"code": good}))])
    dag = Dag("case", model=Model(spec, base_url=simulator.base_url("openai"), attempts=3))
    text = {"type": "string", "pattern": pattern}
    output = {"type": "object", "properties": {"code": text}, "required": ["code"]}
    dag.dimension(lambda item: item.content, name="analyze", output=output)
    report = dag.run(["x"], store=False)
    assert [row.results["analyze"].data for row in report.items] == [{"code": good}]
    assert simulator.request_count == 2
    schema = simulator.requests[0].schema
    assert schema is not None
    assert "pattern" not in schema["properties"]["code"]
    assert pattern in schema["properties"]["code"]["description"]
    assert "code: the pattern is not sent" in dag.explain()


def test_the_adapter_of_a_class_is_left_as_it_was() -> None:
    """Kind of beam-41."""
    Output(Score).rebuild({"percent": 1.0})
    assert TypeAdapter(Score).validate_python({"percent": 0.5}).percent == 50.0


@pytest.mark.parametrize("value", [(1, 2), date(2024, 1, 1), Decimal("1.5"), b"x"])
def test_an_enum_with_a_member_that_no_json_value_names_is_an_error_when_it_is_declared(value: Any) -> None:
    """Kind of schema-46: every answer that names the member would be invalid."""
    odd = enum.Enum("Size", {"SMALL": "small", "ODD": value})  # type: ignore[misc]
    dag = Dag("case", model="anthropic:claude-haiku-4-5")
    with pytest.raises(GraphError, match=r"dimension 'analyze': .* enum 'Size', and no JSON value .* 'ODD'"):
        dag.dimension(lambda item: item.content, name="analyze", output=list[odd])  # type: ignore[valid-type]


def test_a_literal_of_nothing_is_an_error_when_it_is_declared() -> None:
    """Kind of schema-46."""
    dag = Dag("case", model="anthropic:claude-haiku-4-5")
    with pytest.raises(GraphError, match=r"dimension 'analyze'.*cannot be empty"):
        dag.dimension(lambda item: item.content, name="analyze", output=Literal[()])


class Account(BaseModel):
    password: SecretStr


class Told(BaseModel):
    password: SecretStr

    @field_serializer("password")
    def in_clear(self, value: SecretStr) -> str:
        return value.get_secret_value()


@pytest.mark.parametrize("declared", [Account, list[Account], SecretStr, Secret[int]])
def test_a_secret_whose_value_would_be_lost_is_an_error_when_it_is_declared(declared: Any) -> None:
    """Kind of schema-41: the next dimension would see ten asterisks."""
    with pytest.raises(GraphError, match="a secret is written as asterisks, and the answer would be lost; use str"):
        Output(declared)


def test_a_secret_that_is_written_in_clear_is_an_answer() -> None:
    """Kind of schema-41."""
    output = Output(Told)
    assert output.load({"password": "hush"}) == {"password": "hush"}
    assert output.rebuild({"password": "hush"}).password.get_secret_value() == "hush"

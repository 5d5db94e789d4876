"""Results as rows with a Beam schema, which SQL, Beam YAML and transforms in other languages read."""

from __future__ import annotations

import keyword
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.portability.api import schema_pb2
from apache_beam.pvalue import PCollection
from apache_beam.typehints.arrow_type_compatibility import beam_schema_from_arrow_schema
from apache_beam.typehints.schemas import named_tuple_from_schema

from beam_llmdag.beam.llm_dag import Results
from beam_llmdag.graph.dimension import Dimension
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.arrow_schemas import COSTS_SCHEMA, FAILURES_SCHEMA, globals_schema, rows_schema
from beam_llmdag.records.records import Record, cost_record, failure_record, global_record, row_record
from beam_llmdag.records.result import Result
from beam_llmdag.run.regroup import REGROUP_SCHEMA

__all__ = ["BeamRows", "FailureRows", "ToBeamRows", "beam_schema"]

_SCHEMA_IDS = uuid.UUID("7d0f4c52-5a86-4f0e-9f0b-0d2b6a1f8c11")
"""Namespace of schema ids: equal columns have the same id in every process."""


class BeamRows(NamedTuple):
    """What `ToBeamRows` makes: PCollections of rows with a Beam schema.

    Attributes:
        items: a row per item, a nested row per dimension.
        failures: failed results and inputs that are no items.
        costs: the bill, a row per item, dimension and attempt.
        globals: global dimension -> its answers; regroup -> its report.
        regrouped: regroup -> a row per new item.
    """

    items: PCollection[Any]
    failures: PCollection[Any]
    costs: PCollection[Any]
    globals: dict[str, PCollection[Any]]
    regrouped: dict[str, PCollection[Any]]


class ToBeamRows(beam.PTransform[Any, Any]):
    """Turns what `LLMDag` made into rows with Beam schemas, and returns `BeamRows`.

    The columns are those of `WriteResults` with several shards, where metadata is a map of text: an object is a nested
    row, an array a repeated field, a map a map, and everything can be null. The schemas come from the dag, not from the
    answers. A name that no field of a Beam row can have in Python is changed: `first-name` is `first_name`, `class` is
    `class_`, `_id` is `id`.

    Args:
        dag: the dag whose results these are.

    Raises:
        GraphError: a dimension is called like another column.
    """

    def __init__(self, dag: Graph) -> None:
        super().__init__()
        dag.validate()
        self._dag = dag

    def expand(self, results: Results) -> BeamRows:
        """See the class."""
        costs = results.costs | "Cost records" >> beam.Map(cost_record)
        return BeamRows(
            items=self._rows(results.items, "items", None),
            failures=results.failures | "Failure rows" >> FailureRows(),
            costs=costs | "Cost rows" >> _WithSchema(COSTS_SCHEMA),
            globals={name: self._answers(results.globals, name) for name in self._globals()},
            regrouped={name: self._rows(rows, name, name) for name, rows in results.regrouped.items()},
        )

    def _rows(self, rows: PCollection[Any], label: str, space: str | None) -> Any:
        dimensions = self._dag.item_dimensions(space)
        schema = rows_schema({name: dimension.output.data_schema for name, dimension in dimensions.items()})
        records = rows | f"Records of {label}" >> beam.Map(row_record, schema)
        return records | f"Rows of {label}" >> _WithSchema(schema)

    def _globals(self) -> list[str]:
        return [name for name, step in self._dag.steps.items() if step.scope != "item"]

    def _answers(self, results: PCollection[Any], name: str) -> Any:
        step = self._dag.steps[name]
        schema = globals_schema(step.output.data_schema if isinstance(step, Dimension) else REGROUP_SCHEMA)
        mine = results | f"Answers of {name}" >> beam.Filter(_is_of, name)
        records = mine | f"Records of {name}'s answers" >> beam.Map(global_record, schema)
        return records | f"Rows of {name}'s answers" >> _WithSchema(schema)


class FailureRows(beam.PTransform[Any, Any]):
    """`Failure`s → rows with a Beam schema."""

    def expand(self, failures: PCollection[Any]) -> Any:
        """See the class."""
        records = failures | "Records" >> beam.Map(failure_record)
        return records | "Rows" >> _WithSchema(FAILURES_SCHEMA)


def beam_schema(schema: pa.Schema) -> schema_pb2.Schema:
    """The Beam schema of the rows that `ToBeamRows` makes for an Arrow schema of `records.arrow_schemas`."""
    made = beam_schema_from_arrow_schema(pa.schema([_renamed(field, name) for field, name in _named(schema)]))
    _give_ids(made)
    return made


class _WithSchema(beam.PTransform[Any, Any]):
    """Dicts that fit an Arrow schema → rows of the Beam schema."""

    def __init__(self, schema: pa.Schema) -> None:
        super().__init__()
        self._schema = schema

    def expand(self, records: PCollection[Record]) -> Any:
        row_type = named_tuple_from_schema(beam_schema(self._schema))
        return records | beam.ParDo(_ToRow(self._schema)).with_output_types(row_type)


class _ToRow(beam.DoFn):
    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def setup(self) -> None:
        self._row = _row_maker(self._schema, beam_schema(self._schema))

    def process(self, record: Record) -> Iterator[Any]:
        yield self._row(record)


_Convert = Callable[[Any], Any]


def _row_maker(fields: Iterable[pa.Field[Any]], schema: schema_pb2.Schema) -> _Convert:
    """A function that makes a row of a dict; `schema` has the same fields in the same order."""
    row_type = named_tuple_from_schema(schema)
    makers = [(a.name, _converter(a.type, b.type)) for a, b in zip(fields, schema.fields, strict=True)]

    def make(record: Mapping[str, Any]) -> Any:
        return row_type(*(_or_none(convert, record.get(name)) for name, convert in makers))

    return make


def _converter(arrow: Any, field_type: schema_pb2.FieldType) -> _Convert:
    if pa.types.is_struct(arrow):
        return _row_maker((arrow.field(i) for i in range(arrow.num_fields)), field_type.row_type.schema)
    if pa.types.is_map(arrow):
        value = _converter(arrow.item_type, field_type.map_type.value_type)
        return lambda pairs: {key: _or_none(value, inner) for key, inner in pairs}
    if pa.types.is_list(arrow):
        element = _converter(arrow.value_type, field_type.array_type.element_type)
        return lambda values: [_or_none(element, inner) for inner in values]
    return lambda value: value


def _or_none(convert: _Convert, value: Any) -> Any:
    return None if value is None else convert(value)


def _renamed(field: pa.Field[Any], name: str) -> pa.Field[Any]:
    return pa.field(name, _with_valid_names(field.type))


def _with_valid_names(type_: Any) -> Any:
    if pa.types.is_struct(type_):
        inner = [type_.field(index) for index in range(type_.num_fields)]
        return pa.struct([_renamed(field, name) for field, name in _named(inner)])
    if pa.types.is_map(type_):
        return pa.map_(type_.key_type, _with_valid_names(type_.item_type))
    if pa.types.is_list(type_):
        return pa.list_(_with_valid_names(type_.value_type))
    return type_


def _named(fields: Iterable[pa.Field[Any]]) -> Iterator[tuple[pa.Field[Any], str]]:
    """Each field with the name it has in a Beam row, which is a named tuple in Python."""
    known = list(fields)
    taken = {field.name for field in known if _valid_name(field.name) == field.name}
    for field in known:
        name = _valid_name(field.name)
        while name != field.name and name in taken:
            name += "_"
        taken.add(name)
        yield field, name


def _valid_name(name: str) -> str:
    word = re.sub(r"\W", "_", name).lstrip("_")
    if not word.isidentifier():
        word = f"field_{word}"
    return f"{word}_" if keyword.iskeyword(word) else word


def _give_ids(schema: schema_pb2.Schema) -> None:
    """Gives `schema` and those inside it the ids by which Beam tells schemas apart."""
    for field in schema.fields:
        for inner in _row_types(field.type):
            _give_ids(inner)
    schema.id = str(uuid.uuid5(_SCHEMA_IDS, schema.SerializeToString(deterministic=True).hex()))


def _row_types(type_: schema_pb2.FieldType) -> Iterator[schema_pb2.Schema]:
    kind = type_.WhichOneof("type_info")
    if kind == "row_type":
        yield type_.row_type.schema
    elif kind == "array_type":
        yield from _row_types(type_.array_type.element_type)
    elif kind == "map_type":
        yield from _row_types(type_.map_type.value_type)


def _is_of(result: Result, name: str) -> bool:
    return result.dimension == name

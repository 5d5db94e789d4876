"""Arrow schemas of `beam_llmdag.records.arrow_schemas` as columns of BigQuery; pure, without Google's packages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from beam_llmdag.beam.io.bigquery.run import RUN_FIELDS
from beam_llmdag.errors import GraphError
from beam_llmdag.records.arrow_schemas import FIXED_COLUMNS, is_json_text

__all__ = ["COST_COLUMN", "is_cost", "is_json", "table_fields"]

COST_COLUMN = "cost_usd"
"""What `cost_nano_usd` is called in BigQuery, where it is a NUMERIC of dollars: nine decimals, so it is exact."""

Field = dict[str, Any]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_TAKEN_BY_BIGQUERY = ("_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier", "_change_")
_MOST_LEVELS = 15
_SCALARS: tuple[tuple[Any, str], ...] = (
    (pa.types.is_string, "STRING"),
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_boolean, "BOOLEAN"),
)


def table_fields(schema: pa.Schema, dimension: str | None = None) -> list[Field]:
    """The columns of a table for records that fit `schema`, in the JSON form of BigQuery's API.

    | Arrow | BigQuery |
    |---|---|
    | string, int64, double, bool | STRING, INTEGER, FLOAT, BOOLEAN |
    | struct | RECORD |
    | list | REPEATED; a list of lists is JSON, since BigQuery has no arrays of arrays |
    | map, string that holds JSON text | JSON |
    | `cost_nano_usd` outside of an answer's data | `cost_usd` NUMERIC, in dollars |

    In front stand `RUN_FIELDS`. Everything else is nullable.

    Args:
        schema: see `beam_llmdag.records.arrow_schemas`.
        dimension: whose answers these are; by default, each column that is a struct is a dimension.

    Raises:
        GraphError: a name that BigQuery does not take, or two that differ in nothing but case, or records in records
            more than 15 deep. The message names the dimension and the column.
    """
    found: list[Field] = [dict(field) for field in RUN_FIELDS]
    for field in schema:
        owner = dimension or (field.name if field.name not in FIXED_COLUMNS else None)
        columns = _Columns(owner)
        found.append(columns.field(field, field.name, answer=dimension is not None and field.name == "data"))
        columns.check_names([column["name"] for column in found], "")
    return found


def is_cost(name: str, *, answer: bool) -> bool:
    """Whether a column holds our nano-dollars and not a field of the user's that is called so."""
    return name == "cost_nano_usd" and not answer


def is_json(field: pa.Field[Any]) -> bool:
    """Whether a column is JSON in BigQuery."""
    type_: Any = field.type
    return is_json_text(field) or pa.types.is_map(type_) or (pa.types.is_list(type_) and _is_list_of_lists(type_))


def _is_list_of_lists(type_: Any) -> bool:
    return pa.types.is_list(type_.value_type)


class _Columns:
    """Makes columns for the answers of one dimension, which errors name."""

    def __init__(self, dimension: str | None) -> None:
        self._dimension = dimension

    def field(self, field: pa.Field[Any], path: str, *, answer: bool, level: int = 1) -> Field:
        """The column for a field; `answer` where it is the user's own, inside `data`."""
        type_: Any = field.type
        if is_json(field):
            return {"name": field.name, "type": "JSON", "mode": "NULLABLE"}
        if pa.types.is_list(type_):
            element = self.field(type_.value_field, path, answer=answer, level=level)
            return {**element, "name": field.name, "mode": "REPEATED"}
        if pa.types.is_struct(type_):
            if level > _MOST_LEVELS:
                self._fail(path, f"records are more than {_MOST_LEVELS} deep, the most that BigQuery takes; flatten it")
            return {
                "name": field.name,
                "type": "RECORD",
                "mode": "NULLABLE",
                "fields": self._fields(type_, path, answer=answer, level=level),
            }
        if is_cost(field.name, answer=answer):
            return {"name": COST_COLUMN, "type": "NUMERIC", "mode": "NULLABLE"}
        return {"name": field.name, "type": _scalar(type_), "mode": "NULLABLE"}

    def _fields(self, type_: Any, path: str, *, answer: bool, level: int) -> list[Field]:
        inner = [type_.field(index) for index in range(type_.num_fields)]
        found = [
            self.field(part, f"{path}.{part.name}", answer=answer or part.name == "data", level=level + 1)
            for part in inner
        ]
        self.check_names([field["name"] for field in found], f"{path}.")
        return found

    def check_names(self, names: Iterable[str], path: str) -> None:
        """See `table_fields`."""
        seen: dict[str, str] = {}
        for name in names:
            if not _NAME.fullmatch(name):
                self._fail(path + name, "a name has ASCII letters, digits and underscores, and begins with no digit")
            if name.lower().startswith(_TAKEN_BY_BIGQUERY):
                self._fail(path + name, "BigQuery keeps this beginning of a name for itself")
            if name.lower() in seen:
                other = seen[name.lower()]
                self._fail(path + name, f"{path}{other} is the same column (upper and lower case are one to BigQuery)")
            seen[name.lower()] = name

    def _fail(self, path: str, problem: str) -> None:
        whose = f"dimension {self._dimension!r}: " if self._dimension else ""
        raise GraphError(f"{whose}BigQuery cannot have the column {path!r}: {problem}; rename it in the dag")


def _scalar(type_: pa.DataType) -> str:
    return next(name for is_type, name in _SCALARS if is_type(type_))

"""Google's client of BigQuery: tables that are there before a run, rows that give way to it, rows of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from beam_llmdag.beam.io.bigquery.names import Dataset, Query, Table
from beam_llmdag.beam.io.bigquery.run import Run
from beam_llmdag.errors import InputError

__all__ = ["Rerun", "clear_rows", "ensure_table", "google_bigquery", "run_rows", "source_fields"]

Rerun = Literal["append", "replace"]

_SAME_TYPE = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD", "DECIMAL": "NUMERIC"}


def google_bigquery() -> Any:
    """The module `google.cloud.bigquery`.

    Raises:
        InputError: it is not installed.
    """
    try:
        from google.cloud import bigquery
    except ImportError as error:
        raise InputError("BigQuery needs the parts of Beam for Google Cloud: pip install 'beam-llmdag[gcp]'") from error
    return bigquery


def source_fields(source: Table | Query, project: str | None) -> list[Any]:
    """The columns of a table, or of the rows of a query, which is not run for that.

    Args:
        source: table or query.
        project: where a query is billed; None for the one of the environment.

    Raises:
        InputError: there is no such table, or the query is wrong.
    """
    bigquery = google_bigquery()
    from google.api_core.exceptions import BadRequest, NotFound

    try:
        if isinstance(source, Table):
            return list(bigquery.Client(project=project or source.project).get_table(str(source)).schema)
        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        return list(bigquery.Client(project=project).query(source.sql, job_config=config).schema)
    except (BadRequest, NotFound) as error:
        text = source.sql if isinstance(source, Query) else str(source)
        raise InputError(f"{text}: {error.message}") from error


def ensure_table(table: Table, fields: Sequence[dict[str, Any]]) -> None:
    """Makes a table, partitioned by `run_date` and clustered by `run_id`; one that is there must have the columns.

    Raises:
        InputError: there is no such dataset, or the table lacks a column, has it with another type, or wants a value
            for one that is not ours.
    """
    bigquery = google_bigquery()
    from google.api_core.exceptions import NotFound

    client = bigquery.Client(project=table.project)
    wanted = bigquery.Table(str(table), schema=[bigquery.SchemaField.from_api_repr(field) for field in fields])
    wanted.time_partitioning = bigquery.TimePartitioning(field="run_date")
    wanted.clustering_fields = ["run_id"]
    try:
        client.get_dataset(f"{table.project}.{table.dataset}")
    except NotFound as error:
        raise InputError(
            f"{table.project}.{table.dataset}: there is no such dataset; make it where your data may be: "
            f"bq mk --location=EU --dataset {table.project}:{table.dataset}"
        ) from error
    found = client.create_table(wanted, exists_ok=True)
    problems = list(_differences(wanted.schema, found.schema, ""))
    if problems:
        raise InputError(
            f"{table}: the table does not fit the dag: {'; '.join(problems)}. Change the table, or write to another "
            "dataset or prefix"
        )


def clear_rows(table: Table, run: Run, rerun: Rerun) -> int:
    """Deletes the rows that an earlier start of the run left, with `"replace"` also all others of its day.

    Returns:
        how many.

    Raises:
        InputError: BigQuery refuses, as it does for rows that were streamed in the last half hour.
    """
    bigquery = google_bigquery()
    from google.api_core.exceptions import BadRequest

    where = "run_id = @run_id" if rerun == "append" else "run_id = @run_id OR run_date = @run_date"
    parameters = [
        bigquery.ScalarQueryParameter("run_id", "STRING", run.run_id),
        bigquery.ScalarQueryParameter("run_date", "DATE", run.day),
    ]
    config = bigquery.QueryJobConfig(query_parameters=parameters[: 1 if rerun == "append" else 2])
    job = bigquery.Client(project=table.project).query(f"DELETE FROM `{table}` WHERE {where}", job_config=config)
    try:
        job.result()
    except BadRequest as error:
        raise InputError(
            f"{table}: the rows of an earlier start of run {run.run_id!r} cannot be deleted: {error.message}. "
            "Rows that were streamed stay for half an hour; wait, or give the run another run_id"
        ) from error
    return int(job.num_dml_affected_rows or 0)


def run_rows(destination: Dataset, name: str, run_id: str, limit: int, order_by: str) -> list[dict[str, Any]]:
    """Rows that a run wrote to one of its tables, in order.

    Args:
        destination: where the run wrote.
        name: the table: `"items"`, ….
        run_id: the run.
        limit: at most so many.
        order_by: column.
    """
    bigquery = google_bigquery()
    config = bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter("run_id", "STRING", run_id)])
    sql = f"SELECT * FROM `{destination.table(name)}` WHERE run_id = @run_id ORDER BY {order_by} LIMIT {limit:d}"
    rows = bigquery.Client(project=destination.project).query(sql, job_config=config).result()
    return [dict(row) for row in rows]


def _differences(wanted: Sequence[Any], found: Sequence[Any], path: str) -> Iterator[str]:
    theirs = {field.name.lower(): field for field in found}
    for field in wanted:
        name = f"{path}{field.name}"
        other = theirs.pop(field.name.lower(), None)
        if other is None:
            yield f"it lacks the column {name} {_type(field)}"
        elif _type(field) != _type(other):
            yield f"its column {name} is {_type(other)} and not {_type(field)}"
        else:
            yield from _differences(field.fields, other.fields, f"{name}.")
    yield from (f"its column {path}{field.name} is required" for field in theirs.values() if field.mode == "REQUIRED")


def _type(field: Any) -> str:
    kind = _SAME_TYPE.get(field.field_type, field.field_type)
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else str(kind)

"""Writes the same rows to the folder of its argument; run under several locales, time zones and hash seeds."""

import sys
from datetime import datetime, timedelta, timezone

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_llmdag.beam.io.write import WriteRecords
from beam_llmdag.records.arrow_schemas import COSTS_SCHEMA, rows_schema
from beam_llmdag.records.in_memory import items_from
from beam_llmdag.records.records import cost_record, row_record
from beam_llmdag.records.result import Attempt, CostRow, Result, Row
from beam_llmdag.usage import Usage

LABEL = {"type": "object", "properties": {"label": {"type": "string"}, "score": {"type": "number"}}}


def main(folder: str) -> None:
    at = datetime(2026, 3, 29, 7, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    records = [
        {"id": name, "content": f"ü € 你 {name}", "at": at, "price": 1234.5, "tags": {"b", "a"}}
        for name in {"r3", "r1", "r2"}  # a set: its order hangs on the hash seed
    ]
    attempt = Attempt(model="test:m", usage=Usage(input_tokens=3), cost_nano_usd=7)
    rows = []
    costs = []
    for item in items_from(records):
        data = {"label": "ü", "score": 1234.5}
        result = Result(dimension="label", item_id=item.id, status="ok", data=data, attempts=(attempt,))
        rows.append(Row(item=item, results={"label": result}))
        costs.append(CostRow(dimension="label", item_id=item.id, number=1, attempt=attempt))
    schema = rows_schema({"label": LABEL})
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        row_records = pipeline | "Rows" >> beam.Create([row_record(row, schema) for row in rows])
        cost_records = pipeline | "Costs" >> beam.Create([cost_record(cost) for cost in costs])
        for kind in ("parquet", "jsonl"):
            row_records | f"Rows_{kind}" >> WriteRecords(f"{folder}/rows", schema, file_format=kind)
            cost_records | f"Costs_{kind}" >> WriteRecords(f"{folder}/costs", COSTS_SCHEMA, file_format=kind)


if __name__ == "__main__":
    main(sys.argv[1])

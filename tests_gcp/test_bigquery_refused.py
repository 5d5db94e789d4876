"""Rows that BigQuery does not take as a streaming insert: Beam's connector, and a server that refuses like Google."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import apache_beam as beam
import google.auth
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from google.auth.credentials import AnonymousCredentials

from beam_llmdag.beam.io.bigquery import table as bigquery_table
from beam_llmdag.beam.io.bigquery.run import Run
from beam_llmdag.beam.io.bigquery.write import WriteBigQueryResults
from beam_llmdag.beam.llm_dag import Results
from beam_llmdag.dag import Dag
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Failure, Result, Row

MOST_BYTES = 10_000_000
RUN = Run(run_id="r", started_at=datetime(2026, 11, 23, tzinfo=UTC))


class Inserts:
    """A server that takes `insertAll`, refuses what is too long without a word about rows, and rows of the id `bad`."""

    def __init__(self) -> None:
        self.rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.refused_requests = 0
        inserts = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                body = self.rfile.read(size)
                if size > MOST_BYTES:
                    inserts.refused_requests += 1
                    self._answer(413, {"error": {"code": 413, "message": "Request payload size exceeds the limit"}})
                    return
                table = self.path.split("/tables/")[1].split("/")[0]
                errors = []
                for index, row in enumerate(json.loads(body)["rows"]):
                    if row["json"].get("id") == "bad":
                        errors.append({"index": index, "errors": [{"reason": "invalid", "message": "no such field"}]})
                    else:
                        inserts.rows[table].append(row["json"])
                self._answer(200, {"insertErrors": errors} if errors else {})

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def inserts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inserts]:
    found = Inserts()
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", found.address)
    monkeypatch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), "p"))
    monkeypatch.setattr(bigquery_table, "ensure_table", lambda table, fields: None)
    monkeypatch.setattr(bigquery_table, "clear_rows", lambda table, run, rerun: 0)
    yield found
    found.server.shutdown()


def row(name: str, text: str) -> Row:
    result = Result(dimension="a", item_id=name, status="ok", data=text)
    return Row(item=Item(name, "x"), results={"a": result})


ROWS = [row(f"k{number}", "\u0001" * 2_000_000 if number == 7 else "fine") for number in range(20)]


@pytest.mark.parametrize("unbounded", [False, True])
def test_a_row_that_is_too_large_goes_to_failures_and_the_others_are_written(inserts: Inserts, unbounded: bool) -> None:
    """Case beam-52."""
    dag = Dag("d", model="openai:gpt-5-mini")
    dag.dimension(lambda item: item.content, name="a")
    rows = [
        *ROWS,
        *(row(f"m{number}", "\u0001" * 500_000) for number in range(5)),
        row("bad", "fine"),
        row("last", "x"),
    ]
    with beam.Pipeline("DirectRunner" if unbounded else "FnApiRunner", options=PipelineOptions([])) as pipeline:
        if unbounded:
            pipeline.options.view_as(beam.options.pipeline_options.StandardOptions).streaming = True
            stream = test_stream.TestStream().add_elements(rows[:10]).advance_processing_time(1).add_elements(rows[10:])
            items: Any = pipeline | stream.advance_watermark_to_infinity() | beam.Map(lambda element: element)
        else:
            items = pipeline | beam.Create(rows)
        nothing = items | beam.Filter(lambda _: False)
        failures = nothing | beam.Map(lambda _: Failure(dimension="", item_id="", error_class="timeout", message=""))
        results = Results(items, nothing, failures, nothing, {})
        results | WriteBigQueryResults(dag, "proj.d", run=RUN, method="STREAMING_INSERTS")
    written = {found["id"] for found in inserts.rows["items"]}
    assert written == {found.item.id for found in rows} - {"k7", "bad"}
    told = {found["item_id"]: found for found in inserts.rows["failures"]}
    assert sorted(told) == ["bad", "k7"]
    assert {found["error_class"] for found in told.values()} == {"not_written"}
    assert "12,000," in told["k7"]["message"]
    assert "no such field" in told["bad"]["message"]
    assert inserts.refused_requests == 0

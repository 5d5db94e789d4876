"""The manifest beside the files of a run, and asking again what failed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from beam_llmdag import Dag, GraphError, InputError, Model, Price
from beam_llmdag.calls.options import CallOptions
from beam_llmdag.errors import CallError
from beam_llmdag.model import Request
from beam_llmdag.run.manifest import RunFacts, manifest_of, read_manifest
from beam_llmdag.testing import ScriptedProvider

ITEMS = [{"id": str(number), "content": f"text {number}", "stars": number} for number in range(6)]


class Label(BaseModel):
    label: str


class Vendor:
    """One that fails for the prompts that are named, as long as they are."""

    def __init__(self) -> None:
        self.fails: set[str] = set()
        self.provider = ScriptedProvider(self.says)

    def says(self, request: Request) -> Any:
        prompt = str(request.messages[-1].content)
        if any(prompt.endswith(name) for name in self.fails):
            raise CallError("bad_request", "no", http_status=400)
        return {"label": prompt}

    @property
    def asked(self) -> list[str]:
        return [str(request.messages[-1].content) for request in self.provider.requests]

    def dag(self, name: str = "redriven") -> Dag:
        model = Model("scripted:m", temperature=0.5)
        dag = Dag(name, model=model, providers={"scripted": self.provider}, prices={"m": Price(input=1, output=2)})

        @dag.dimension(output=Label)
        def first(item):
            return f"first {item.content}"

        @dag.dimension(output=Label)
        def second(item, first):
            return f"second of {first.label}"

        @dag.dimension(output=Label, scope="global")
        def overall(items, first):
            return f"overall {len(items)}"

        return dag


def lines(folder: Path, name: str = "items") -> dict[str, str]:
    """Id -> line of a file."""
    return {json.loads(line)["id"]: line for line in (folder / f"{name}.jsonl").read_text().splitlines()}


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_manifest_says_what_made_the_files(store, tmp_path, file_format):
    vendor = Vendor()
    report = vendor.dag().run(ITEMS, store=store, budget_usd=5, run_id="r7")
    written = report.write(tmp_path / "out", file_format=file_format)
    manifest = read_manifest(tmp_path / "out")
    assert manifest["run_id"] == "r7"
    assert manifest["store"] == store
    assert manifest["options"]["budget_usd"] == 5
    assert manifest["dag"] == json.loads(vendor.dag().to_json())
    assert manifest["prices_usd_per_million_tokens"] == {"scripted:m": {"input": 1.0, "output": 2.0}}
    assert manifest["summary"] == report.summary.to_json(["first", "second", "overall"])
    assert manifest["items"]["count"] == 6
    assert {"python", "beam-llmdag", "pydantic"} <= set(manifest["versions"])
    for path in written:
        known = manifest["files"][path.relative_to(tmp_path / "out").as_posix()]
        assert known == {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_manifest_has_no_password_of_a_store():
    calls = CallOptions(run_id="r", store="postgresql://me:secret@host:5432/llm")
    facts = RunFacts(calls=calls, id_field="id", content_field="content", started_at=0.0)
    made = manifest_of(Vendor().dag(), facts, items={}, files={}, summary={}, origin=None, written=None)
    assert made["store"] == "postgresql://host:5432/llm"
    assert "secret" not in json.dumps(made)


def test_a_redrive_asks_what_failed_and_mends_what_needs_it_and_nothing_else(store, tmp_path):
    vendor, folder = Vendor(), tmp_path / "out"
    vendor.fails = {"first text 2", "second of first text 4"}
    report = vendor.dag().run(ITEMS, store=store)
    report.write(folder, file_format="jsonl")
    before, asked = lines(folder), len(vendor.asked)
    assert {failure.item_id for failure in report.failures} == {"2", "4"}
    vendor.fails = set()
    mended = vendor.dag().redrive(folder, ITEMS)
    assert (mended.failures, mended.items[2].results["second"].status) == ([], "ok")
    assert sorted(vendor.asked[asked:]) == [
        "first text 2",
        "overall 6",
        "second of first text 2",
        "second of first text 4",
    ]
    after = lines(folder)
    assert {name for name in after if after[name] != before[name]} == {"2", "4"}
    assert [attempt.error_class for attempt in mended.items[2].results["first"].attempts] == ["bad_request", None]
    assert (folder / "failures.jsonl").read_text() == ""
    assert read_manifest(folder)["summary"]["failed"] == 0


def test_where_it_fails_again_only_its_attempts_grow(store, tmp_path):
    vendor, folder = Vendor(), tmp_path / "out"
    vendor.fails = {"first text 2"}
    vendor.dag().run(ITEMS, store=store).write(folder, file_format="jsonl")
    before = lines(folder)
    again = vendor.dag().redrive(folder, ITEMS)
    after = lines(folder)
    assert {name for name in after if after[name] != before[name]} == {"2"}
    [failure] = again.failures
    assert len(failure.attempts) == 2


def test_a_redrive_without_failures_changes_nothing_and_asks_nothing(store, tmp_path):
    vendor, folder = Vendor(), tmp_path / "out"
    vendor.dag().run(ITEMS, store=store).write(folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    asked = len(vendor.asked)
    vendor.dag().redrive(folder, ITEMS)
    assert {path.name: path.read_bytes() for path in folder.glob("*.parquet")} == before
    assert len(vendor.asked) == asked


def test_a_redrive_of_nothing_or_of_another_dag_or_without_a_store_says_so(store, tmp_path):
    vendor, folder = Vendor(), tmp_path / "out"
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        vendor.dag().redrive(folder, ITEMS)
    vendor.dag().run(ITEMS, store=store).write(folder)
    with pytest.raises(GraphError, match="is of the dag 'redriven', not of 'other'"):
        vendor.dag("other").redrive(folder, ITEMS)
    vendor.dag().run(ITEMS, store=False).write(folder)
    with pytest.raises(GraphError, match="kept no answers"):
        vendor.dag().redrive(folder, ITEMS)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="is no manifest of format 1"):
        vendor.dag().redrive(folder, ITEMS)

"""Cases of the kind locale-timezone: the surroundings of a process change nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from helpers.places import ROOT

from beam_llmdag.testing import SimulatedRequest, Simulator

SCRIPT = """
import os
import sys
from datetime import datetime, timedelta, timezone

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from pydantic import BaseModel

from beam_llmdag import Dag, LLMDag, Model
from beam_llmdag.beam.io.results import WriteResults


class Said(BaseModel):
    text: str
    share: float
    counts: dict[str, int]


dag = Dag("everywhere", model=Model("openai-chat:gpt-5-mini", base_url=os.environ["SIMULATOR"]))


@dag.dimension(output=Said)
def first(item):
    return f"first {item.id}: {item.content} {item.metadata}"


@dag.dimension(output=Said)
def second(item):
    return f"second {item.content}" if item.id != "bad" else None


@dag.dimension(scope="global")
def overall(items, first):
    return " | ".join(f"{item.id} {said.share} {said.counts}" for item, said in zip(items, first))


@dag.dimension
def after(item, first, second, overall):
    return f"after {item.id} {overall} {second.text}"


when = datetime(2026, 3, 29, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
items = [
    {"id": "u", "content": "Größe ü", "when": when, "price": 1234.5, "tags": {"b", "a", "c", "d"}},
    {"id": "e", "content": "€ 1.234,50", "when": when, "price": 0.1, "tags": {"z", "y"}},
    {"id": "c", "content": "你好 \\u2028", "when": when, "price": 1e21, "tags": frozenset()},
    {"id": "bad", "content": "ß", "when": when, "price": -0.0, "tags": {1, 2, 3}},
]
with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
    results = pipeline | beam.Create(items) | LLMDag(dag, plan=sys.argv[1], store=False)
    for file_format in ("jsonl", "parquet"):
        results | file_format >> WriteResults(dag, sys.argv[2], file_format=file_format)
"""

SURROUNDINGS = {
    "utc": {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
    "kolkata": {"TZ": "Asia/Kolkata", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "1"},
    "st johns": {"TZ": "America/St_Johns", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONHASHSEED": "2"},
}
PLAN_IN = {"utc": "pipelined", "kolkata": "staged", "st johns": "pipelined"}


def said(request: SimulatedRequest) -> dict[str, Any]:
    number = int(hashlib.sha256(request.prompt.encode("utf-8")).hexdigest()[:4], 16)
    return {"text": f"ü € 你 {number}", "share": number / 1000, "counts": {"z": number, "ä": 2}}


def run_in(surroundings: dict[str, str], folder: Path, plan: str) -> tuple[dict[str, bytes], list[bytes]]:
    """The files that the script writes, and the bytes of the requests that it sends, ordered."""
    script = folder.with_suffix(".py")
    script.write_text(SCRIPT, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    with Simulator(said) as simulator:
        env = {
            **inherited,
            **surroundings,
            "SIMULATOR": simulator.base_url("openai"),
            "OPENAI_API_KEY": "any",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [sys.executable, str(script), plan, str(folder)], env=env, capture_output=True, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return files, sorted(request.raw for request in simulator.requests)


def test_plan_zone_locale_encoding_and_hash_seed_change_no_byte_of_prompts_and_files(tmp_path: Path) -> None:
    """Case locale-01."""
    with ThreadPoolExecutor() as pool:
        runs = {
            name: pool.submit(run_in, values, tmp_path / name, PLAN_IN[name]) for name, values in SURROUNDINGS.items()
        }
    files, prompts = runs["utc"].result()
    names = ("items", "failures", "costs", "globals/overall")
    assert set(files) == {f"{name}.{ending}" for name in names for ending in ("jsonl", "parquet")}
    assert len(prompts) == 4 + 3 + 1 + 3
    text = files["items.jsonl"].decode("utf-8")
    for expected in ("Größe ü", "€ 1.234,50", "你好 \u2028", "2026-03-28T20:00:00+00:00", '"price":1234.5,'):
        assert expected in text
    assert '"tags":["a","b","c","d"]' in text
    for name in ("kolkata", "st johns"):
        other_files, other_prompts = runs[name].result()
        assert other_prompts == prompts
        assert [file for file in files if other_files[file] != files[file]] == []

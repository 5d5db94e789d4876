"""What is imported when: Beam takes two seconds, a vendor's SDK one."""

import subprocess
import sys

SLOW = ("apache_beam", "anthropic", "openai", "google.genai", "aiohttp", "jsonschema", "genai_prices")


def imported_by(program: str) -> set[str]:
    """Those of `SLOW` that a process has after `program`."""
    told = f"{program}\nimport sys\nprint(*(name for name in {SLOW} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_imports_neither_beam_nor_an_sdk():
    assert imported_by("import beam_llmdag") == set()


def test_declaring_and_explaining_a_dag_imports_no_sdk():
    program = """
from typing import Literal
from beam_llmdag import Dag, Model

model = Model("anthropic:claude-haiku-4-5", fallbacks=["openai:gpt-5-mini", "google:gemini-3-flash"])
dag = Dag("reviews", model=model)
dag.dimension(lambda item: item.content, name="mood", output=Literal["good", "bad"])
dag.explain()
"""
    assert imported_by(program) == set()


def test_the_public_names_that_need_beam_bring_it_along():
    assert "apache_beam" in imported_by("from beam_llmdag import LLMDag")


def test_running_a_dag_file_over_files_imports_no_beam(tmp_path):
    dag = "name: little\nmodel: anthropic:m\ndimensions:\n  mood:\n    prompt: How is {{ item.content }}?\n"
    (tmp_path / "dag.yaml").write_text(dag)
    (tmp_path / "in.jsonl").write_text('{"content": "fine"}\n')
    arguments = ["run", "dag.yaml", "--input", "in.jsonl", "--output", "out", "--store", "off"]
    program = f"import os; os.chdir({str(tmp_path)!r}); from beam_llmdag.cli import main; assert main({arguments}) == 0"
    assert "apache_beam" not in imported_by(program)
    assert (tmp_path / "out" / "items.parquet").exists()


def test_an_sdk_is_imported_on_the_thread_of_who_runs_and_not_on_that_of_the_calls():
    program = """
import sys, threading
from beam_llmdag import Dag, Model

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("anthropic", "openai"):
            print(name, threading.current_thread().name)

sys.meta_path.insert(0, Watch())
model = Model("anthropic:a", base_url="http://127.0.0.1:1", attempts=1, fallbacks=["openai:b"])
dag = Dag("imports", model=model)
dag.dimension(lambda item: item.content, name="mood")
dag.run(["x"], store=False)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert sorted(done.stdout.splitlines()) == ["anthropic MainThread", "openai MainThread"]

"""Providers of other packages, found by their entry point."""

from __future__ import annotations

from pathlib import Path

import pytest

from beam_llmdag import Dag, GraphError

MODULE = """
from beam_llmdag.model import Answer, WireSchema


class Shouting:
    default_in_flight = 5

    def __init__(self, model):
        self.name = model.name

    def wire_schema(self, schema):
        return WireSchema(schema=schema)

    def key(self):
        return None

    async def answer(self, request):
        return Answer(text=f"{self.name}: {request.messages[-1].content.upper()}")

    async def aclose(self):
        pass
"""


def test_an_installed_package_brings_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shouting_llm.py").write_text(MODULE, encoding="utf-8")
    installed = tmp_path / "shouting_llm-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting-llm\nVersion: 1.0\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text(
        "[beam_llmdag.providers]\nshouting = shouting_llm:Shouting\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    dag = Dag("loud", model="shouting:big")
    dag.dimension(lambda item: item.content, name="said")
    assert dag.run(["hello"], store=False).items[0].results["said"].data == "big: HELLO"


def test_a_provider_that_is_not_installed_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(GraphError, match=r"'quiet'.*no provider 'whispering'.*anthropic, google, local, openai"):
        Dag("quiet", model="whispering:big")

"""Cases of the kind schema that only a whole run shows: what is declared, sent, answered and delivered."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from beam_llmdag import Dag, Model
from beam_llmdag.testing import Reply, Simulator


class Answer(BaseModel):
    note: str | None = None
    stars: int = 3


def answered(simulator: Simulator, spec: str, texts: list[str], items: list[str]) -> list[Any]:
    """The answers to `items`, one call at a time."""
    simulator.script([Reply(text) for text in texts])
    model = Model(spec, base_url=simulator.base_url("openai"), max_in_flight=1)
    dag = Dag("case", model=model)
    dag.dimension(lambda item: item.content, name="analyze", output=Answer)
    report = dag.run(items, store=False)
    assert report.failures == []
    return [row.results["analyze"].data for row in report.items]


@pytest.mark.parametrize("spec", ["openai-chat:gpt-5-mini", "openai-responses:gpt-5-mini"])
def test_required_on_the_wire_is_not_required_of_the_answer(simulator: Simulator, spec: str) -> None:
    """Case schema-02."""
    texts = ['{"note": null, "stars": 5}', '{"note": "ok", "stars": 3}', "{}"]
    data = answered(simulator, spec, texts, ["one", "two", "three"])
    assert sorted(data, key=json.dumps) == [
        {"note": "ok", "stars": 3},
        {"note": None, "stars": 3},
        {"note": None, "stars": 5},
    ]
    schema = simulator.requests[0].schema
    assert schema is not None
    assert schema["required"] == ["note", "stars"]
    assert schema["additionalProperties"] is False
    assert {"type": "null"} in schema["properties"]["note"]["anyOf"]


def test_a_map_of_strict_mode_comes_back_as_a_map(simulator: Simulator) -> None:
    """Case schema-01."""

    class Counted(BaseModel):
        label: str
        counts: dict[str, int]

    pairs = [{"key": "billing", "value": 2}, {"key": "shipping", "value": 1}]
    simulator.script([Reply(json.dumps({"label": "a", "counts": pairs}))])
    dag = Dag("case", model=Model("openai:gpt-5-mini", base_url=simulator.base_url("openai")))
    dag.dimension(lambda item: item.content, name="analyze", output=Counted)
    [row] = dag.run(["x"], store=False).items
    assert row.results["analyze"].data == {"label": "a", "counts": {"billing": 2, "shipping": 1}}

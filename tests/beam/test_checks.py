"""What is checked when a dag becomes part of a pipeline."""

from __future__ import annotations

from pydantic import BaseModel

from beam_llmdag import Dag
from beam_llmdag.beam.luggage import packed, unpacked
from beam_llmdag.testing import ScriptedProvider


def new_dag() -> Dag:
    return Dag("sent", model="scripted:any", providers={"scripted": ScriptedProvider(['{"inner": {"word": "fine"}}'])})


def test_classes_are_sent_without_the_local_variables_they_were_defined_beside() -> None:
    numbers = (number for number in range(3))

    class Inner(BaseModel):
        word: str

    class Outer(BaseModel):
        inner: Inner

    dag = new_dag()
    dag.dimension(lambda item: item.content, name="said", output=Outer)
    copy = unpacked(packed(dag)).dimensions["said"].output
    assert copy.rebuild({"inner": {"word": "fine"}}).inner.word == "fine"
    assert list(numbers) == [0, 1, 2]

"""What is checked when a dag becomes part of a pipeline."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from beam_llmdag import Dag, GraphError
from beam_llmdag.testing import ScriptedProvider


def new_dag() -> Dag:
    return Dag("sent", model="scripted:any", providers={"scripted": ScriptedProvider(['{"inner": {"word": "fine"}}'])})


def test_a_function_that_holds_what_cannot_be_pickled_is_an_error_that_names_its_dimension() -> None:
    numbers = (number for number in range(3))
    dag = new_dag()
    dag.dimension(lambda item: f"{next(numbers)} {item.content}", name="counted")
    with pytest.raises(GraphError, match=r"dimension 'counted' cannot be sent to workers: .*generator"):
        dag.run(["a"], store=False)


def test_classes_are_sent_without_the_local_variables_they_were_defined_beside() -> None:
    numbers = (number for number in range(3))

    class Inner(BaseModel):
        word: str

    class Outer(BaseModel):
        inner: Inner

    dag = new_dag()
    dag.dimension(lambda item: item.content, name="said", output=Outer)
    answers: dict[str, Any] = dag.run([{"id": "a", "content": "x"}], store=False).answers("said")
    assert answers["a"].inner.word == "fine"
    assert list(numbers) == [0, 1, 2]

"""Bad answers that were paid: read again, and kept where they fit now; and a version that asks all again."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, field_validator

from beam_llmdag import Dag, Item, Model
from beam_llmdag.run.reread import Reread, reread
from beam_llmdag.testing import ScriptedProvider

ITEMS = [{"id": str(number), "content": f"text {number}"} for number in range(3)]


def dag_that_takes(allowed: str, provider: ScriptedProvider, **options: Any) -> Dag:
    class Label(BaseModel):
        label: str

        @field_validator("label")
        @classmethod
        def check(cls, value: str) -> str:
            assert value in allowed
            return value

    dag = Dag("read again", model=Model("scripted:m", attempts=1), providers={"scripted": provider})

    @dag.dimension(output=Label, **options)
    def label(item: Item) -> str:
        return str(item.content)

    return dag


def test_answers_that_a_better_validator_takes_are_answers_from_now_on(store: str) -> None:
    provider = ScriptedProvider([{"label": "a"}, {"label": "b"}, {"label": "c"}])
    assert len(dag_that_takes("a", provider).run(ITEMS, store=store).failures) == 2
    assert reread(dag_that_takes("ab", provider), store) == Reread(read=2, kept=1, cut=0)
    assert reread(dag_that_takes("ab", provider), store) == Reread(read=1, kept=0, cut=0)
    asked = len(provider.requests)
    report = dag_that_takes("ab", provider).run(ITEMS[:2], store=store)
    assert (report.failures, len(provider.requests)) == ([], asked)
    assert report.answers("label")["1"].label == "b"


def test_what_was_cut_off_in_the_store_and_what_no_dimension_asks_is_left_alone(store: str) -> None:
    provider = ScriptedProvider([{"label": "x" * 5000}, {"label": "b"}])
    dag_that_takes("a", provider).run(ITEMS[:2], store=store)
    assert reread(dag_that_takes("ab" + "x" * 5000, provider), store) == Reread(read=1, kept=1, cut=1)
    other = Dag("other", model="scripted:m", providers={"scripted": provider})
    other.dimension(lambda item: item.content, name="other")
    assert reread(other, store) == Reread(read=0, kept=0, cut=0)


def test_another_version_asks_all_again_and_the_same_one_nothing(store: str) -> None:
    provider = ScriptedProvider([{"label": "a"}])
    for version, asked in ((None, 3), ("1", 6), ("1", 6), (None, 6), ("2", 9)):
        dag_that_takes("a", provider, version=version).run(ITEMS, store=store)
        assert len(provider.requests) == asked

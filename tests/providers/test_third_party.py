"""A provider of one's own, in full."""

from __future__ import annotations

import asyncio

from beam_llmdag.model import Answer, Message, Model, Request, WireSchema
from beam_llmdag.providers.base import Provider, find_provider


class Parrot:
    """Repeats what it is told."""

    default_in_flight = 100

    def __init__(self, model: Model) -> None:
        self.model = model

    def wire_schema(self, schema):
        return WireSchema(schema=schema, native=False, notes=("the parrot reads no schemas",))

    def key(self):
        return None

    async def answer(self, request: Request) -> Answer:
        return Answer(text=str(request.messages[-1].content))

    async def aclose(self) -> None:
        pass


def test_a_provider_of_one_s_own_needs_a_class_of_five_methods():
    model = Model("parrot:grey")
    provider = find_provider("parrot", {"parrot": Parrot})(model)
    assert isinstance(provider, Provider)
    answer = asyncio.run(provider.answer(Request(model=model, messages=(Message("user", "hello"),))))
    assert answer.text == "hello"

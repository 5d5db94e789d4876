"""A process that puts answers into a store, `put_answers.py PLACE NAME COUNT`: says READY, waits for a line, puts."""

from __future__ import annotations

import asyncio
import sys

from beam_llmdag.calls.store.answers import AnswerStore, Asked, Payer
from beam_llmdag.calls.store.place import open_store
from beam_llmdag.records.result import Attempt
from beam_llmdag.usage import Usage

PAID = Attempt(model="m:x", usage=Usage(input_tokens=1, output_tokens=2), cost_nano_usd=3)
PAYER = Payer("r", "d", "i")


async def enter(
    store: AnswerStore, key: str, answer: str | None = None, attempt: Attempt = PAID, payer: Payer = PAYER
) -> None:
    """Enters a call that has begun and ended."""
    asked = Asked(key=key, model=attempt.model, payer=payer, parts="{}")
    await store.end(store.begin(asked), asked, attempt, answer)


async def main(place: str, name: str, count: int) -> None:
    store = open_store(place)

    async def put(number: int) -> None:
        key = f"{name}-{number}"
        await enter(store, key, f"answer {key}")
        print(key, flush=True)

    for start in range(0, count, 20):
        await asyncio.gather(*(put(number) for number in range(start, min(count, start + 20))))
    await store.aclose()


if __name__ == "__main__":
    print("READY", flush=True)
    sys.stdin.readline()
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

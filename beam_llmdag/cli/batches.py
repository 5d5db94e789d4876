"""`llmdag batches`: calls that wait for vendors' batch APIs, and the batches that they are in."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from beam_llmdag.calls.batch.desk import Desk, OpenBatch
from beam_llmdag.calls.store.documents import Documents, open_documents
from beam_llmdag.calls.store.place import DEFAULT_STORE
from beam_llmdag.clock import SystemClock

__all__ = ["add_verbs"]

Steps = Callable[[Desk, Documents], Coroutine[Any, Any, None]]


def add_verbs(batches: argparse.ArgumentParser) -> None:
    """Adds the verbs that come after `llmdag batches`."""
    verbs = batches.add_subparsers(required=True, metavar="WHAT")

    def add(name: str, steps: Callable[[argparse.Namespace], Steps], help: str) -> argparse.ArgumentParser:
        parser = verbs.add_parser(name, help=help, description=help)
        parser.add_argument("--run", metavar="RUN_ID", help="those of one run")
        parser.set_defaults(verb=lambda arguments: _done(arguments, steps(arguments)))
        return parser

    _add_store(add("list", _list, "the batches that the store knows of, and how many calls wait for one"))
    _add_store(add("submit", _submit, "hand in what waits"))
    _add_store(add("collect", _collect, "bring the answers home of batches that have ended"))
    cancel = add("cancel", _cancel, "ask the vendor not to begin what has not begun; what was answered is collected")
    cancel.add_argument("batch", help="the vendor's id of it, or our name; or `all`")
    _add_store(cancel)


def _add_store(parser: argparse.ArgumentParser) -> None:
    help = "path, postgresql://… or redis://…; default: %(default)s"
    parser.add_argument("place", nargs="?", default=str(DEFAULT_STORE), help=help)


def _done(arguments: argparse.Namespace, steps: Steps) -> int:
    async def work() -> None:
        with open_documents(arguments.place) as documents:
            desk = Desk(documents, {}, SystemClock())
            try:
                await steps(desk, documents)
            finally:
                await desk.aclose()

    asyncio.run(work())
    return 0


def _list(arguments: argparse.Namespace) -> Steps:
    async def steps(desk: Desk, documents: Documents) -> None:
        known = [batch for batch in desk.batches() if arguments.run in (None, *batch.runs)]
        print(f"{'batch':44} {'model':34} {'status':14} {'done':>15} {'since':>19}")
        for batch in known:
            print(_line(batch))
        answered = documents.keys("replies").union(*(batch.keys for batch in known))
        print(f"{len(documents.keys('pending') - answered)} calls wait to be handed in")

    return steps


def _submit(arguments: argparse.Namespace) -> Steps:
    async def steps(desk: Desk, _: Documents) -> None:
        for batch in await desk.submit(arguments.run):
            print(_line(batch))

    return steps


def _collect(arguments: argparse.Namespace) -> Steps:
    async def steps(desk: Desk, _: Documents) -> None:
        ended = await desk.collect(desk.open_batches(arguments.run))
        print(f"{ended} batches have ended, {len(desk.open_batches(arguments.run))} have not")

    return steps


def _cancel(arguments: argparse.Namespace) -> Steps:
    async def steps(desk: Desk, _: Documents) -> None:
        named = [batch.label for batch in desk.open_batches(arguments.run)]
        for label in named if arguments.batch == "all" else [arguments.batch]:
            await desk.cancel(label)

    return steps


def _line(batch: OpenBatch) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(batch.sent_at))
    status = batch.status if not batch.ended else f"{batch.status}, home"
    done = f"{batch.done:,}/{batch.requests:,}"
    return f"{batch.id or batch.label:44} {batch.model.spec:34} {status:14} {done:>15} {since:>19}"

"""`llmdag store`: what is in an answer store, and moving and clearing it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta

from beam_llmdag.calls.store.contents import open_contents
from beam_llmdag.calls.store.copies import collect_garbage, copy_store, export_store, import_calls
from beam_llmdag.calls.store.ledger import clear_store, read_totals, why_asked
from beam_llmdag.calls.store.place import DEFAULT_STORE
from beam_llmdag.cli.dags import dag_at
from beam_llmdag.run.reread import reread
from beam_llmdag.usage import TOKEN_KINDS

__all__ = ["add_verbs"]

_PLACE = "path, postgresql://… or redis://…"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def add_verbs(store: argparse.ArgumentParser) -> None:
    """Adds the verbs that come after `llmdag store`."""
    verbs = store.add_subparsers(required=True, metavar="WHAT")

    def add(name: str, verb: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        parser = verbs.add_parser(name, help=help, description=help)
        parser.set_defaults(verb=verb)
        return parser

    _add_place(add("stats", _stats, "answers, calls, tokens and dollars by model"))
    ledger = add("ledger", _ledger, "every call that was paid for, a line of JSON each")
    _add_place(ledger)
    ledger.add_argument("--dimension", help="those of one dimension")
    ledger.add_argument("--item", help="those about one item, or group")
    ledger.add_argument("--run", metavar="RUN_ID", help="those of one run")
    why = add("why", _why, "why something was asked again: what differs between a call and the nearest answer")
    why.add_argument("dimension")
    why.add_argument("item", help='"" for a global')
    _add_place(why)
    _add_place(add("clear", _clear, "forget all answers; the ledger of what was paid stays"))
    gc = add("gc", _gc, "remove the oldest calls, with their answers and what was paid for them")
    _add_place(gc)
    gc.add_argument("--older", type=_duration, metavar="AGE", help="than 30d, 12h, 8w …")
    gc.add_argument("--max-size", type=_bytes, metavar="SIZE", help="what may stay: 500MB, 2GB …")
    gc.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    again = add("reread", _reread, "read bad answers again: a better parser or validator may take them")
    again.add_argument("dag", help="where it is: module:name, or a YAML file")
    _add_place(again)
    export = add("export", _export, "write all calls as lines of JSON")
    export.add_argument("file", help="- for stdout")
    _add_place(export)
    imported = add("import", _import, "enter calls that were exported")
    imported.add_argument("file", help="- for stdin")
    _add_place(imported)
    copy = add("copy", _copy, "enter all calls of a store into another; nothing is entered twice")
    copy.add_argument("source", help=_PLACE)
    copy.add_argument("target", help=_PLACE)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", default=str(DEFAULT_STORE), help=f"{_PLACE}; default: %(default)s")


def _reread(arguments: argparse.Namespace) -> int:
    made = reread(dag_at(arguments.dag), arguments.place)
    print(f"{made.read:,} bad answers read again, {made.kept:,} fit now and are kept")
    if made.cut:
        print(f"{made.cut:,} more are longer than the store keeps, and cannot be read")
    return 0


def _stats(arguments: argparse.Namespace) -> int:
    totals = read_totals(arguments.place)
    kinds = [kind.removesuffix("_tokens") for kind in TOKEN_KINDS]
    columns = ["answers", "calls", "in_flight", "unpriced", *kinds]
    print(_line("model", columns, "cost $"))
    for total in totals:
        counts = (total.answers, total.calls, total.in_flight, total.unpriced_calls, *total.usage.counts())
        print(_line(total.model, [f"{count:,}" for count in counts], f"{total.cost_nano_usd / 1e9:.6f}"))
    unknown = sum(total.in_flight + total.unpriced_calls for total in totals)
    if unknown:
        print(f"the cost is a lower bound: that of {unknown} calls is unknown (unpriced, in flight, or lost in a kill)")
    return 0


def _line(model: str, columns: Sequence[str], cost: str) -> str:
    return f"{model:40} {' '.join(f'{column:>14}' for column in columns)} {cost:>12}"


def _ledger(arguments: argparse.Namespace) -> int:
    wanted = {"dimension": arguments.dimension, "subject": arguments.item, "run_id": arguments.run}
    with open_contents(arguments.place) as contents:
        for call in contents.calls():
            known = call.columns
            if all(value is None or known[name] == value for name, value in wanted.items()):
                print(json.dumps({"ended_at": call.ended_at, **known}, ensure_ascii=False))
    return 0


def _why(arguments: argparse.Namespace) -> int:
    print(why_asked(arguments.place, arguments.dimension, arguments.item))
    return 0


def _clear(arguments: argparse.Namespace) -> int:
    print(f"{clear_store(arguments.place)} answers forgotten")
    return 0


def _gc(arguments: argparse.Namespace) -> int:
    if arguments.older is None and arguments.max_size is None:
        print("llmdag: say what goes: --older AGE or --max-size SIZE", file=sys.stderr)
        return 2
    removed = collect_garbage(
        arguments.place, older=arguments.older, most_bytes=arguments.max_size, dry_run=arguments.dry_run
    )
    verb = "would be removed" if arguments.dry_run else "removed"
    print(f"{removed.calls} calls {verb}, for which ${removed.cost_nano_usd / 1e9:.6f} was paid")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    if arguments.file == "-":
        export_store(arguments.place, sys.stdout)
        return 0
    with open(arguments.file, "w", encoding="utf-8") as file:
        print(f"{export_store(arguments.place, file)} calls written to {arguments.file}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    if arguments.file == "-":
        added = import_calls(sys.stdin, arguments.place)
    else:
        with open(arguments.file, encoding="utf-8") as file:
            added = import_calls(file, arguments.place)
    print(f"{added} calls entered")
    return 0


def _copy(arguments: argparse.Namespace) -> int:
    print(f"{copy_store(arguments.source, arguments.target)} calls entered")
    return 0


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+)([smhdw])", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write 90m, 12h, 30d or 8w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 500MB or 2GB")
    return int(float(found[1]) * _SIZES[found[2]])

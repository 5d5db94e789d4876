"""The `llmdag` command: verbs, no logic."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from beam_llmdag.cli import batches, store
from beam_llmdag.cli.dags import dag_at
from beam_llmdag.clock import moment
from beam_llmdag.dag import Dag
from beam_llmdag.errors import LLMDagError
from beam_llmdag.model import LaneName
from beam_llmdag.providers.gguf import fetch_default_model
from beam_llmdag.records.files import read_items
from beam_llmdag.records.files_of_records import OutputFormat
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Failure
from beam_llmdag.run.manifest import Origin, read_manifest
from beam_llmdag.yaml.file_model import dag_file_schema

__all__ = ["main"]

_TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
_PICTURES = {
    "text": Dag.explain,
    "mermaid": Dag.to_mermaid,
    "dot": Dag.to_dot,
    "json": Dag.to_json,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.verb(arguments))
    except (LLMDagError, OSError, ImportError) as error:
        print(f"llmdag: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("llmdag: stopped by Ctrl-C", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llmdag", description="Graphs of LLM analyses on Apache Beam.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    fetch = verbs.add_parser("fetch-model", help="download the default local model (93 MB) and check it")
    fetch.set_defaults(verb=_fetch_model)
    show = verbs.add_parser("show", help="draw or explain a dag, without calling a model")
    show.add_argument("dag", help="where it is: module:name, or a YAML file")
    show.add_argument("--as", dest="picture", choices=_PICTURES, default="text", help="default: %(default)s")
    show.set_defaults(verb=_show)
    _add_run(verbs.add_parser("run", help="run a dag over files, in this process, and write what comes of it"))
    _add_redrive(verbs.add_parser("redrive", help="ask again what failed in a run, and write its results anew"))
    _add_estimate(verbs.add_parser("estimate", help="say what a run over files will cost, from a sample of them"))
    _add_plan(verbs.add_parser("plan", help="say what a run over files would ask, and what is in the store"))
    schema = verbs.add_parser("schema", help="print the JSON schema of dag files, for editors")
    schema.set_defaults(verb=_schema)
    batches.add_verbs(verbs.add_parser("batches", help="calls that wait for vendors' batch APIs, and their batches"))
    store.add_verbs(verbs.add_parser("store", help="what an answer store holds and what it cost, and moving it"))
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    _add_input(run)
    run.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="for the results")
    run.add_argument("--format", choices=get_args(OutputFormat), default="parquet", help="default: %(default)s")
    run.add_argument("--run-id", help="name of the run; to start a run again, give it the name it had")
    run.add_argument(
        "--lane", choices=get_args(LaneName), help="batch: in vendors' batch APIs, for half the price, in rounds"
    )
    run.add_argument(
        "--deadline",
        type=moment,
        metavar="MOMENT",
        help="such as 2027-01-31T08:00: batches for what has come back by then, all else on its own",
    )
    run.add_argument("--no-wait", action="store_true", help="with batches: hand in what waits and end with code 75")
    run.add_argument("--strict", action="store_true", help="stop at the first failure")
    run.add_argument("--keep-prompts", action="store_true", help="keep what was asked with every attempt")
    run.add_argument("--timings", action="store_true", help="say in the costs how long each call took and waited")
    run.set_defaults(verb=_run)


def _add_redrive(redrive: argparse.ArgumentParser) -> None:
    redrive.add_argument("folder", type=Path, help="what `llmdag run` wrote")
    redrive.add_argument("--dag", help="where the dag is now; default: where it was")
    redrive.add_argument("--input", metavar="FILES", help="where the items are now; default: where they were")
    redrive.add_argument("--store", metavar="PLACE", help="where the answers are now; default: where they were")
    redrive.add_argument("--budget-usd", type=float, metavar="DOLLARS", help="of the whole run; default: what it had")
    redrive.set_defaults(verb=_redrive)


def _add_estimate(estimate: argparse.ArgumentParser) -> None:
    _add_input(estimate)
    estimate.add_argument("--sample", type=int, default=20, help="items to analyse for it; default: %(default)s")
    estimate.add_argument("--seed", type=int, default=0, help="of the draw; default: %(default)s")
    estimate.set_defaults(verb=_estimate)


def _add_plan(plan: argparse.ArgumentParser) -> None:
    _add_input(plan)
    plan.set_defaults(verb=_plan)


def _add_input(verb: argparse.ArgumentParser) -> None:
    """What says what is run over what, and with which store and money."""
    verb.add_argument("dag", help="where it is: module:name, or a YAML file")
    verb.add_argument(
        "--input", required=True, metavar="FILES", help="path, folder or pattern of files on this machine"
    )
    verb.add_argument("--id-field", default="id", help="field with the id of a record; default: %(default)s")
    verb.add_argument("--content-field", default="content", help="field with what is analysed; default: %(default)s")
    verb.add_argument("--encoding", help="of JSON and CSV files; default: UTF-8")
    store_help = "place of paid answers: path, postgresql://… or redis://…; `off` for none; default: as dag.run"
    verb.add_argument("--store", metavar="PLACE", help=store_help)
    verb.add_argument("--budget-usd", type=float, metavar="DOLLARS", help="ask no more when so much is spent")


def _items(arguments: argparse.Namespace, *, strict: bool = False) -> Iterator[Item | Failure]:
    return read_items(
        arguments.input,
        id_field=arguments.id_field,
        content_field=arguments.content_field,
        encoding=arguments.encoding,
        strict=strict,
    )


def _run(arguments: argparse.Namespace) -> int:
    report = dag_at(arguments.dag).run(
        _items(arguments, strict=arguments.strict),
        store=False if arguments.store == "off" else arguments.store,
        run_id=arguments.run_id,
        budget_usd=arguments.budget_usd,
        strict=arguments.strict,
        keep_prompts=arguments.keep_prompts,
        lane=arguments.lane,
        deadline=arguments.deadline,
        wait=not arguments.no_wait,
    )
    origin = Origin(dag=arguments.dag, input=arguments.input, encoding=arguments.encoding)
    written = report.write(arguments.output, file_format=arguments.format, timings=arguments.timings, origin=origin)
    print(report)
    print(f"written: {', '.join(map(str, written))}")
    if report.summary.total.pending:
        print("some calls wait for a batch: the same command goes on", file=sys.stderr)
        return _TRY_LATER
    return 0


def _redrive(arguments: argparse.Namespace) -> int:
    manifest = read_manifest(arguments.folder)
    origin = manifest["origin"] or {}
    dag, files = arguments.dag or origin.get("dag"), arguments.input or origin.get("input")
    if dag is None or files is None:
        raise LLMDagError(f"{arguments.folder} does not say where its dag and items are: name --dag and --input")
    names = {name: manifest["options"][name] for name in ("id_field", "content_field")}
    before = manifest["summary"]["failed"]
    report = dag_at(dag).redrive(
        arguments.folder,
        read_items(files, encoding=origin.get("encoding"), strict=False, **names),
        **({"store": arguments.store} if arguments.store else {}),
        **({"budget_usd": arguments.budget_usd} if arguments.budget_usd else {}),
    )
    print(report)
    print(f"failed: {before:,} before, {report.summary.total.failed:,} now")
    return _TRY_LATER if report.summary.total.pending else 0


def _estimate(arguments: argparse.Namespace) -> int:
    estimate = dag_at(arguments.dag).estimate(
        _items(arguments),
        sample=arguments.sample,
        seed=arguments.seed,
        store=False if arguments.store == "off" else arguments.store,
        budget_usd=arguments.budget_usd,
    )
    print(estimate)
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    print(dag_at(arguments.dag).diff(_items(arguments), store=arguments.store))
    return 0


def _fetch_model(_: argparse.Namespace) -> int:
    print(fetch_default_model(lambda text: print(text, file=sys.stderr)))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    print(_PICTURES[arguments.picture](dag_at(arguments.dag)))
    return 0


def _schema(_: argparse.Namespace) -> int:
    print(json.dumps(dag_file_schema(), indent=2))
    return 0

"""The options that the example pipelines share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, get_args

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_llmdag.beam.io.bigquery.client import Rerun
from beam_llmdag.beam.io.bigquery.read import ReadMethod
from beam_llmdag.beam.io.bigquery.rows import WriteMethod
from beam_llmdag.clock import moment
from beam_llmdag.graph.plan import PlanKind
from beam_llmdag.model import LaneName
from beam_llmdag.run.options import lane_of
from pipelines.dataflow import check_settings, is_dataflow, set_dataflow_defaults
from pipelines.runner_options import with_runner_defaults

__all__ = ["Settings", "options_of", "options_parser", "parse_settings"]

_DEFAULT_RUNNER = "FnApiRunner"  # in this process; "DirectRunner" would first try to download another one


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user asks of an example pipeline.

    Attributes:
        input: path or glob pattern of the items: JSON Lines, CSV or Parquet, or a folder of them; or `bigquery:` and a
            table or query.
        output: folder for the results, or `bigquery:` and a dataset.
        model: `"cloud"`, `"simulated"`, `"local"` or `"provider:name"`.
        filter_model: another one for the first dimension, which sees every item; None for the default of `model`.
        fallback_model: one to ask when another has failed for good; None for the default of `model`.
        encoding: of JSON and CSV files; None for UTF-8.
        summary: JSON file for the run's totals, beside the one in `output`; None for none.
        show: how many rows to print at the end.
        shards: how many files the rows are written to; 0 lets the runner decide.
        key_secrets: vendor -> the secret in Google's Secret Manager that holds its key.
        store: place of the answer store; None for the default, see `LLMDag`.
        run_id: name of the run; None for a new one.
        plan: see `LLMDag`.
        lane: how requests travel: `"batch"`, for half the price, in rounds; None as the models say.
        deadline: when answers are wanted, see `LLMDag`; None for no such moment.
        no_wait: with batches: only one round, which hands in what waits.
        keep_prompts: whether failures say what was asked.
        timings: whether the costs say how long each call took and waited.
        run_date: day whose partition in BigQuery the rows go to; None for today in UTC.
        rerun: what gives way to the rows in BigQuery: those of the same run (`"append"`), or of the day (`"replace"`).
        write_method: how BigQuery is written.
        read_method: how BigQuery is read.
        temp_dataset: where BigQuery keeps the result of a query meanwhile; None for a new dataset.
    """

    input: str
    output: str
    model: str
    filter_model: str | None = None
    fallback_model: str | None = None
    encoding: str | None = None
    summary: str | None = None
    show: int = 0
    shards: int = 1
    key_secrets: Mapping[str, str] = field(default_factory=dict)
    store: str | None = None
    run_id: str | None = None
    plan: PlanKind | Literal["auto"] = "auto"
    lane: LaneName | None = None
    deadline: datetime | None = None
    no_wait: bool = False
    keep_prompts: bool = False
    timings: bool = False
    run_date: date | None = None
    rerun: Rerun = "append"
    write_method: WriteMethod = "FILE_LOADS"
    read_method: ReadMethod = "DIRECT_READ"
    temp_dataset: str | None = None


def options_parser(description: str) -> argparse.ArgumentParser:
    """The parser of the pipelines' own options."""
    # Without abbreviations: `--in` of a runner's own option must not be taken for ours.
    parser = argparse.ArgumentParser(
        description=description, epilog="All other options are Beam's, for example --runner.", allow_abbrev=False
    )
    parser.add_argument(
        "--input",
        required=True,
        help="path or pattern of .jsonl, .csv or .parquet files, bigquery:project.dataset.table or 'bigquery:SELECT …'",
    )
    parser.add_argument(
        "--output", required=True, help="folder for the results, or bigquery:project.dataset[.prefix] for tables"
    )
    parser.add_argument(
        "--model",
        default="cloud",
        help="cloud (a cheap model for the first step, a stronger one with a fallback of another vendor for the rest), "
        "simulated (the same names, answered on this machine without a key), local (a small model in this process) or "
        "provider:name for all; default: %(default)s",
    )
    parser.add_argument("--filter-model", help="another model for the first dimension, which sees every item")
    parser.add_argument("--fallback-model", help="model to ask when another one has failed for good")
    parser.add_argument("--encoding", help="of the input files, for example cp1252 or utf-16; default: UTF-8")
    parser.add_argument("--summary", metavar="FILE.json", help="write the totals of the run to this file, too")
    parser.add_argument("--show", type=_number, default=0, metavar="N", help="print the first N rows at the end")
    parser.add_argument("--shards", type=_number, default=1, help="number of files with rows; 0: the runner decides")
    parser.add_argument(
        "--store",
        metavar="PLACE",
        help="keep paid answers there, and use them again: a file that all workers reach, or postgresql://… or redis://…",
    )
    parser.add_argument("--run-id", help="name of the run; to start a run again, give it the name it had")
    _add_ways(parser)
    _add_flag(parser, "--keep-prompts", "keep what was asked with every attempt, to repair a prompt with")
    _add_flag(parser, "--timings", "say in the costs how long each call took, and waited for its permit")
    _add_bigquery(parser.add_argument_group("BigQuery (docs/bigquery.md)"))
    parser.add_argument(
        "--key-secrets",
        type=_key_secrets,
        default={},
        metavar="VENDOR=SECRET,…",
        help="secrets in Google's Secret Manager with the keys, read by the workers, for example "
        "anthropic=projects/my-project/secrets/anthropic/versions/latest; "
        "default: the environment variables of the workers",
    )
    return parser


def _add_ways(parser: argparse.ArgumentParser) -> None:
    """What says how the graph is run, and how its requests travel."""
    parser.add_argument(
        "--plan",
        choices=("auto", *get_args(PlanKind)),
        default="auto",
        help="how the graph becomes steps of a pipeline; default: %(default)s",
    )
    parser.add_argument(
        "--lane",
        choices=get_args(LaneName),
        help="batch: requests go in the vendors' batch APIs, for half the price, and the run in rounds until all is "
        "answered; it may be stopped and started again",
    )
    parser.add_argument(
        "--deadline",
        type=moment,
        metavar="MOMENT",
        help="such as 2027-01-31T08:00Z: --lane batch for what has come back by then, all else goes on its own",
    )
    _add_flag(parser, "--no-wait", "with --lane batch: hand in what waits and end with exit code 75")


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options of a parser, without `--help`."""
    return [action for action in parser._actions if action.option_strings and action.dest != "help"]


def parse_settings(argv: Sequence[str] | None, description: str) -> tuple[Settings, PipelineOptions]:
    """The settings in `argv` (by default the command line's), and Beam's options from the rest of it.

    Raises:
        SystemExit: an option is missing or wrong; argparse has said which.
    """
    parser = options_parser(description)
    own, beam_args = parser.parse_known_args(_with_hyphens(parser, sys.argv[1:] if argv is None else argv))
    own.lane = lane_of({"lane": own.lane, "deadline": own.deadline})
    options = PipelineOptions(with_runner_defaults(beam_args))
    standard = options.view_as(StandardOptions)
    standard.runner = standard.runner or _DEFAULT_RUNNER
    if is_dataflow(options):
        try:
            check_settings(own.model, own.store)
            set_dataflow_defaults(options)
        except ValueError as error:
            parser.error(str(error))
    return Settings(**vars(own)), options


def _with_hyphens(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """`argv` with our options in our spelling: Beam's own have `_`, and so have the parameters of a Flex Template."""
    ours = {f"--{action.dest}": action.option_strings[0] for action in options_of(parser)}
    parts = [argument.partition("=") for argument in argv]
    return [f"{ours.get(name, name)}{sign}{value}" for name, sign, value in parts]


def _key_secrets(text: str) -> dict[str, str]:
    secrets = dict(part.partition("=")[::2] for part in re.split(r"[,\s]+", text.strip()) if part)
    for vendor, secret in secrets.items():
        if not re.fullmatch(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+", secret):
            raise argparse.ArgumentTypeError(
                f"the secret for {vendor!r} is written as projects/<project>/secrets/<name>/versions/latest"
            )
    return secrets


def _add_bigquery(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--run-date", type=date.fromisoformat, metavar="YYYY-MM-DD", help="partition of the rows; default: today in UTC"
    )
    group.add_argument(
        "--rerun",
        choices=get_args(Rerun),
        default="append",
        help="rows that give way: those of the same --run-id (append), or all of the day (replace); default: append",
    )
    group.add_argument(
        "--write-method", choices=get_args(WriteMethod), default="FILE_LOADS", help="default: %(default)s"
    )
    group.add_argument(
        "--read-method", choices=get_args(ReadMethod), default="DIRECT_READ", help="default: %(default)s"
    )
    group.add_argument(
        "--temp-dataset", metavar="PROJECT.DATASET", help="where the result of a query is kept meanwhile"
    )


def _add_flag(parser: argparse.ArgumentParser, name: str, told: str) -> None:
    """Adds an option that is on where it is named; the parameters of a Flex Template name it with a value."""
    parser.add_argument(name, nargs="?", type=_true_or_false, const=True, default=False, metavar="true", help=told)


def _true_or_false(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
    return text.lower() == "true"


def _number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is less than 0")
    return number

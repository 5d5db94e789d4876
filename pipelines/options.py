"""The options that the example pipelines share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from apache_beam.options.pipeline_options import PipelineOptions

__all__ = ["Settings", "parse_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user asks of an example pipeline.

    Attributes:
        input: path or glob pattern of the items: JSON Lines, CSV or Parquet.
        output: folder for the results.
        model: `"simulated"`, `"local"` or `"provider:name"`.
        filter_model: another one for the first dimension, which sees every item; None for `model`.
        fallback_model: one to ask when another has failed for good; None for none.
        summary: JSON file for the counters of the run; None for no such file.
        shards: how many files the rows are written to; 0 lets the runner decide.
    """

    input: str
    output: str
    model: str
    filter_model: str | None = None
    fallback_model: str | None = None
    summary: str | None = None
    shards: int = 1


def parse_settings(argv: Sequence[str] | None, description: str) -> tuple[Settings, PipelineOptions]:
    """The settings in `argv` (by default the command line's), and Beam's options from the rest of it.

    Raises:
        SystemExit: an option is missing or wrong; argparse has said which.
    """
    # Without abbreviations: `--in` of a runner's own option must not be taken for ours.
    parser = argparse.ArgumentParser(
        description=description, epilog="All other options are Beam's, for example --runner.", allow_abbrev=False
    )
    model_help = "simulated (no key, no network), local (a small model in this process) or provider:name"
    parser.add_argument("--input", required=True, help="path or pattern of .jsonl, .csv or .parquet files")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--model", default="simulated", help=f"{model_help}; default: %(default)s")
    parser.add_argument("--filter-model", help="another model for the first dimension, which sees every item")
    parser.add_argument("--fallback-model", help="model to ask when another one has failed for good")
    parser.add_argument("--summary", metavar="FILE.json", help="write the counters of the run to this file")
    parser.add_argument("--shards", type=_shards, default=1, help="number of files with rows; 0: the runner decides")
    own, beam_args = parser.parse_known_args(argv)
    return Settings(**vars(own)), PipelineOptions(beam_args)


def _shards(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is less than 0")
    return number

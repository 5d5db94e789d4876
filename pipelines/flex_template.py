"""The parameters of the example pipelines, as Dataflow's Flex Templates want them described.

    python -m pipelines.flex_template

writes flex_template/<pipeline>.json from the pipelines' own options, so that both say the same.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from pipelines import category_analysis, review_analysis
from pipelines.dataflow import MOST_WORKERS
from pipelines.options import options_of, options_parser

__all__ = ["PIPELINES", "metadata", "metadata_text"]

PIPELINES: tuple[ModuleType, ...] = (review_analysis, category_analysis)

_FOLDER = Path(__file__).parent.parent / "flex_template"
_ONLY_HERE = ("summary", "show")  # for the terminal and the disk of who starts the pipeline
_MODEL = r"[^\s:]+:\S.*"
_SECRET = r"[^\s,=]+=projects/[^/]+/secrets/[^/]+/versions/[^/\s,]+"
_PATTERNS = {
    "input": r"[a-z][a-z0-9+.-]*:.+",  # a URL: the launcher's disk is empty
    "output": r"[a-z][a-z0-9+.-]*:.+",
    "model": rf"cloud|{_MODEL}",
    "filter_model": _MODEL,
    "fallback_model": _MODEL,
    "store": r"(postgres|postgresql|redis|rediss)://.+",  # the workers share no disk
    "plan": "auto|staged|pipelined",
    "lane": "direct|batch",
    "deadline": r"\d{4}-\d\d-\d\dT\d\d:\d\d.*",
    "no_wait": "true|false",
    "keep_prompts": "true|false",
    "timings": "true|false",
    "key_secrets": rf"{_SECRET}([\s,]+{_SECRET})*",
}
_HELP = {
    "model": "cloud (a cheap model for the first step, a stronger one with a fallback of another vendor for the rest) "
    "or provider:name for all; default: cloud",
}
_OF_BEAM = (
    {
        "name": "sdk_container_image",
        "label": "Sdk container image",
        "helpText": "image of the workers: the one that this template was built from",
        "isOptional": False,
        "regexes": [r"^\S+$"],
    },
    {
        "name": "max_num_workers",
        "label": "Max num workers",
        "helpText": f"most workers, among which limits per minute are divided; default: {MOST_WORKERS}",
        "isOptional": True,
        "regexes": [r"^[1-9]\d*$"],
    },
)
"""Options of Beam that matter here, as parameters: so they are in the options of the program that makes the job."""


def metadata(pipeline: ModuleType) -> dict[str, Any]:
    """The metadata of one pipeline's template."""
    name = pipeline.__name__.rpartition(".")[2]
    options = [option for option in options_of(options_parser("")) if option.dest not in _ONLY_HERE]
    return {
        "name": name,
        "description": (pipeline.__doc__ or "").partition("\n")[0],
        "parameters": [*(_parameter(option) for option in options), *_OF_BEAM],
    }


def metadata_text(pipeline: ModuleType) -> str:
    """The file of one pipeline's metadata."""
    return json.dumps(metadata(pipeline), indent=2, ensure_ascii=False) + "\n"


def _parameter(option: argparse.Action) -> dict[str, Any]:
    return {
        "name": option.dest,
        "label": option.dest.replace("_", " ").capitalize(),
        "helpText": _HELP.get(option.dest) or (option.help or "") % {"default": option.default},
        "isOptional": not option.required,
        "regexes": [f"^({_pattern(option)})$"],
    }


def _pattern(option: argparse.Action) -> str:
    if option.dest in _PATTERNS:
        return _PATTERNS[option.dest]
    if option.choices is not None:
        return "|".join(str(choice) for choice in option.choices)
    return r"\d+" if isinstance(option.default, int) else r".+"


def main() -> None:
    """Writes the metadata of all pipelines."""
    for pipeline in PIPELINES:
        path = _FOLDER / f"{metadata(pipeline)['name']}.json"
        path.write_text(metadata_text(pipeline), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()

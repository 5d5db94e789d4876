"""`make flink-demo`: both pipelines on a Flink cluster of this machine, byte for byte as on the DirectRunner."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.compare import different_files
from engines.engine import DirectRunner, Engine, Flink
from engines.flink_cluster import TOOLS
from engines.pipeline_run import ROOT, PipelineRun
from engines.processes import EngineError
from engines.workload import RUN_SECONDS

__all__ = ["EXAMPLES", "main", "run_example"]

EXAMPLES = {"review_analysis": "reviews_20.jsonl", "category_analysis": "categories_10.jsonl"}
"""Example pipeline -> its input."""


def run_example(pipeline: str, engine: Engine, folder: Path, *, options: Sequence[str] = ()) -> Path:
    """Runs an example pipeline with simulated answers on an engine, which runs; the folder of the results.

    Args:
        pipeline: a key of `EXAMPLES`.
        engine: runs it.
        folder: for results and log.
        options: more options of Beam.

    Raises:
        EngineError: it failed.
    """
    own = ["--input", str(ROOT / "examples" / EXAMPLES[pipeline]), "--model", "simulated"]
    variables = {"PYTHONPATH": str(ROOT)}
    run = PipelineRun(
        module=f"pipelines.{pipeline}",
        options=[*own, *engine.options(variables), *options],
        folder=folder,
        environment=variables,
    )
    with run:
        run.finish(RUN_SECONDS)
    return run.output


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the demonstration; what it has started is stopped however it ends."""
    parser = argparse.ArgumentParser(prog="make flink-demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "flink-demo", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8081, help="of Flink's UI; default: %(default)s")
    asked = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _stop)
    try:
        same = _demonstrate(asked.folder.absolute(), asked.port)
    except EngineError as error:
        sys.exit(f"flink-demo: {error}")
    except KeyboardInterrupt:
        sys.exit("flink-demo: stopped")
    sys.exit(0 if same else "flink-demo: the results differ")


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def _demonstrate(folder: Path, port: int) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    print(f"starting Flink (the first time it is downloaded, 232 MB, to {TOOLS}) …", flush=True)
    same = True
    with Flink(folder, rest_port=port) as flink:
        print(f"Flink's UI: {flink.cluster.ui}", flush=True)
        for pipeline in EXAMPLES:
            print(f"{pipeline} on the DirectRunner …", flush=True)
            expected = run_example(pipeline, DirectRunner(), folder / f"{pipeline}-direct")
            print(f"{pipeline} on Flink, its package staged with --setup_file …", flush=True)
            setup = [f"--setup_file={ROOT / 'setup.py'}"]
            found = run_example(pipeline, flink, folder / f"{pipeline}-flink", options=setup)
            differences = different_files(expected, found)
            same = same and not differences
            print(f"  {'; '.join(differences) or 'all files are the same, byte for byte'}: {found}", flush=True)
    print("Flink is stopped")
    return same


if __name__ == "__main__":
    main()

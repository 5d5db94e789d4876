"""What the example pipelines set for Dataflow where the user does not, and what they refuse before a job is made."""

from __future__ import annotations

from pathlib import Path

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)

from beam_llmdag.calls.store.place import is_on_a_server

__all__ = ["MOST_WORKERS", "check_settings", "is_dataflow", "is_only_described", "set_dataflow_defaults"]

MOST_WORKERS = 10
_HARNESS_THREADS = 4
_ONE_PROCESS = "no_use_multiple_sdk_containers"
_PROCESS_PER_CPU = "use_multiple_sdk_containers"
_SETUP_FILE = Path(__file__).parent.parent / "setup.py"


def is_dataflow(options: PipelineOptions) -> bool:
    """Whether the job is Dataflow's."""
    return "dataflow" in (options.view_as(StandardOptions).runner or "").lower()


def is_only_described(options: PipelineOptions) -> bool:
    """Whether the job is written down and not run by this program: by a Flex Template's launcher, or in a dry run."""
    described = options.view_as(GoogleCloudOptions).template_location or options.view_as(TestOptions).dry_run
    return is_dataflow(options) and bool(described)


def check_settings(model: str, store: str | None) -> None:
    """Refuses what only works on one machine.

    Raises:
        ValueError: the message names the option.
    """
    if model == "simulated":
        raise ValueError("--model=simulated answers on this machine, where Dataflow's workers cannot ask")
    if store is not None and not is_on_a_server(store):
        raise ValueError(f"--store={store} is a file, and Dataflow's workers share none")


def set_dataflow_defaults(options: PipelineOptions, setup_file: Path = _SETUP_FILE) -> None:
    """Fills in what the user left open.

    * `--max_num_workers=10`: the limits of a model are divided by it. Dataflow's own default is so high that each
      worker's part would be nothing, and without it nothing would be divided.
    * `--experiments=no_use_multiple_sdk_containers`: one process per worker, not one per vCPU, so that
      `--max_num_workers` is the number of processes. Calls wait for the network; one process holds hundreds of them.
    * `--number_of_worker_harness_threads=4`: so many bundles are open at a time, enough that one begins while others
      end. A worker that is lost loses its open bundles, and their calls are paid for again.
    * `--setup_file`: this package, where it is run from its sources and the worker's image does not have it.

    Args:
        options: changed in place.
        setup_file: of this package's sources.

    Raises:
        ValueError: workers would not have this package. The message says how they can.
    """
    worker, debug, setup = (options.view_as(kind) for kind in (WorkerOptions, DebugOptions, SetupOptions))
    worker.max_num_workers = worker.max_num_workers or worker.num_workers or MOST_WORKERS
    if not {_ONE_PROCESS, _PROCESS_PER_CPU} & set(debug.experiments or ()):
        debug.add_experiment(_ONE_PROCESS)
    debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or _HARNESS_THREADS
    if worker.sdk_container_image or setup.setup_file or setup.extra_packages or setup.requirements_file:
        return
    if not setup_file.is_file():
        raise ValueError(
            "Dataflow's workers do not have this package: give an image that has it, --sdk_container_image=IMAGE, or "
            "run the pipeline from its sources, where there is a setup.py to stage"
        )
    setup.setup_file = str(setup_file)

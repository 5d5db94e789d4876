"""Asking again what failed: the run that wrote a folder goes on, and writes it anew.

Nothing is read back from its files. Good answers are in the answer store, with what they cost; a run under the same id
finds them for nothing and says the same of them, to the byte. So only what failed is asked, and only what needs that
may change: dependents, globals, new items.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beam_llmdag.calls.store.place import is_on_a_server
from beam_llmdag.errors import GraphError, InputError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.run.manifest import Origin, read_manifest
from beam_llmdag.run.options import RunOptions

__all__ = ["redrive_options", "written_as"]


def redrive_options(graph: Graph, folder: Path, options: RunOptions) -> RunOptions:
    """The options of the run that wrote a folder, with what the user says over them.

    Raises:
        InputError: the folder has no manifest.
        GraphError: it is the folder of another dag, or nothing of its run was kept.
    """
    manifest = read_manifest(folder)
    if manifest["dag"]["name"] != graph.name:
        raise GraphError(f"{folder} is of the dag {manifest['dag']['name']!r}, not of {graph.name!r}")
    if manifest["store"] is None and options.get("store") is None:
        raise GraphError(f"the run that wrote {folder} kept no answers (store=False): run it again as a whole")
    store = manifest["store"]
    known: dict[str, Any] = {
        "run_id": manifest["run_id"],
        # of a server's address there is only what may be shown: the environment, or the user, says the rest
        **({} if store is None or is_on_a_server(store) else {"store": store}),
        **{name: value for name, value in manifest["options"].items() if value is not None},
    }
    return {**known, **options}  # type: ignore[typeddict-item]


def written_as(folder: Path) -> dict[str, Any]:
    """How the files in a folder were written: arguments of `Report.write`.

    Raises:
        InputError: the folder has no manifest, or files that `Report.write` does not write.
    """
    manifest = read_manifest(folder)
    if manifest["written"] is None:
        raise InputError(
            f"a pipeline wrote {folder} in several files: start it again as it was, with --run-id {manifest['run_id']} "
            "and its store, and it asks again what failed"
        )
    origin = manifest["origin"]
    return {**manifest["written"], "origin": None if origin is None else Origin(**origin)}

"""`kill -9` of a run, or of the server with its answers, at moments drawn by chance: `make faults` has more of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.servers import new_postgres

from engines.faults import IN_FLIGHT, provoke, provoke_vendor


@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_run_loses_nothing_and_pays_again_no_more_than_was_in_flight(seed: int, tmp_path: Path) -> None:
    fault = provoke(str(tmp_path / "answers.sqlite"), "program", seed)
    assert (fault.lost, fault.doubled) == (0, 0)
    assert fault.paid_again <= IN_FLIGHT
    assert fault.starts == 2


def test_a_killed_vendor_costs_no_item_and_is_asked_again_no_more_than_was_in_flight() -> None:
    fault = provoke_vendor(1)
    assert (fault.lost, fault.doubled, fault.starts) == (0, 0, 1)
    assert fault.paid_again <= IN_FLIGHT


def test_a_killed_server_costs_nothing_where_it_comes_back() -> None:
    server = new_postgres()

    def restart() -> None:
        server.kill()
        server.start()

    try:
        fault = provoke(server.new_database(), "server", 1, restart)
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
    assert (fault.lost, fault.doubled, fault.paid_again, fault.starts) == (0, 0, 0, 1)

"""What a run has done so far, in numbers that somebody else reads meanwhile."""

from __future__ import annotations

import threading

from beam_llmdag import Attempt, Result
from beam_llmdag.calls.progress import Progress


def test_the_progress_names_calls_money_and_results_by_dimension() -> None:
    progress = Progress()
    assert progress.line() == "0 calls, $0.0000: starting"
    progress.attempted("spam", "1", Attempt(model="m:x", cost_nano_usd=1_500_000))
    progress.attempted("spam", "1", Attempt(model="m:y"))  # unpriced
    progress.attempted("spam", "1", Attempt(model="m:x", sent=False, cost_nano_usd=0))
    assert progress.line() == "2 calls, $0.0015: starting"
    for dimension in ("spam", "spam", "topics"):
        progress.answered(Result(dimension=dimension, item_id="1", status="ok"))
    progress.answered(Result(dimension="topics", item_id="2", status="failed"))
    assert progress.line() == "2 calls, $0.0015, 1 failed: spam 2, topics 2"


def test_the_progress_can_be_read_while_it_grows() -> None:
    progress = Progress()
    ended = threading.Event()

    def grow() -> None:
        for number in range(1_000):
            progress.answered(Result(dimension=f"dimension {number}", item_id="1", status="ok"))
        ended.set()

    thread = threading.Thread(target=grow)
    thread.start()
    while not ended.wait(0.0005):
        progress.line()
    thread.join()
    assert progress.line().endswith("dimension 999 1")

"""Faults by chance."""

from __future__ import annotations

import pytest

from beam_llmdag.testing import Simulator

PROMPTS = [f"p{number}" for number in range(200)]


def test_the_shares_are_about_right(raw):
    with Simulator(faults={"server_error": 0.2, "overloaded": 0.1}, seed=1) as sim:
        raw.ask_many(sim, PROMPTS)
        assert 25 <= sim.statuses[500] <= 55
        assert 10 <= sim.statuses[529] <= 30
        assert sum(sim.statuses.values()) == 200


def test_the_same_requests_fail_in_every_run_whatever_their_order(raw):
    def failed(prompts: list[str]) -> set[str]:
        with Simulator(faults={"server_error": 0.3}, seed=5) as sim:
            raw.ask_many(sim, prompts)
            return {seen.prompt for seen in sim.requests if seen.status == 500}

    first = failed(PROMPTS)
    assert first
    assert failed(PROMPTS[::-1]) == first


def test_another_seed_makes_other_requests_fail(raw):
    def failed(seed: int) -> set[str]:
        with Simulator(faults={"server_error": 0.3}, seed=seed) as sim:
            raw.ask_many(sim, PROMPTS)
            return {seen.prompt for seen in sim.requests if seen.status == 500}

    assert failed(1) != failed(2)


def test_a_request_that_failed_may_succeed_when_it_is_tried_again(raw):
    with Simulator(faults={"server_error": 0.5}, seed=1) as sim:
        statuses = [raw.ask(sim).status for _ in range(20)]
    assert set(statuses) == {200, 500}


def test_scripts_are_not_disturbed_by_faults(raw):
    with Simulator(faults={"reset": 1}) as sim:
        sim.script(["hi"])
        assert raw.ask(sim).text == "hi"


def test_an_unknown_fault_is_an_error_that_lists_them():
    with pytest.raises(ValueError, match="no fault 'gremlin': there are rate_limited, "):
        Simulator(faults={"gremlin": 0.1})


def test_probabilities_that_make_no_sense_are_errors():
    with pytest.raises(ValueError, match="negative"):
        Simulator(faults={"reset": -0.1})
    with pytest.raises(ValueError, match="more than 1"):
        Simulator(faults={"reset": 0.6, "hang": 0.6})

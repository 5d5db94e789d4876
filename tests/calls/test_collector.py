"""The garbage collector is spared while calls are made, and then as the user had it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from beam_llmdag.calls.collector import SparedCollector, uncollected


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_it_looks_less_often_and_afterwards_as_before():
    collector = SparedCollector()
    collector.spare()
    assert gc.get_threshold() == (50_000, 10, 10)
    collector.restore()
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("first", [0, 100_000])
def test_who_has_switched_it_off_or_made_it_rarer_is_left_alone(first):
    gc.set_threshold(first, 5, 5)
    collector = SparedCollector()
    collector.spare()
    assert gc.get_threshold() == (first, 5, 5)
    collector.restore()
    assert gc.get_threshold() == (first, 5, 5)


def test_what_the_user_sets_meanwhile_stays():
    collector = SparedCollector()
    collector.spare()
    gc.set_threshold(2000, 10, 10)
    collector.restore()
    assert gc.get_threshold() == (2000, 10, 10)


@pytest.mark.parametrize("was_on", [True, False])
def test_imports_are_made_without_it_and_then_it_is_as_before(was_on):
    if not was_on:
        gc.disable()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() is was_on
    finally:
        gc.enable()

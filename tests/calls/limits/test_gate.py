import asyncio

import pytest
from helpers.calls import GOOD, LABEL, ask, eventually, failed, make_caller, question

from beam_llmdag.calls.limits import Gate, Limits
from beam_llmdag.clock import Clock, SystemClock
from beam_llmdag.model import LimitState, Model
from beam_llmdag.testing import FakeClock, ScriptedProvider
from beam_llmdag.usage import Usage

CLOCK = SystemClock()


def test_no_more_calls_are_in_flight_than_the_model_allows():
    provider = ScriptedProvider([{"label": "a"}])
    caller = make_caller({"scripted": provider})
    model = Model("scripted:a", max_in_flight=3)
    replies = ask(caller, *(question(str(n), model=model) for n in range(20)))
    assert [reply.error for reply in replies] == [None] * 20
    assert provider.peak_in_flight == 3


def test_the_provider_says_how_many_where_the_user_does_not():
    provider = ScriptedProvider([{"label": "a"}], default_in_flight=2)
    caller = make_caller({"scripted": provider})
    ask(caller, *(question(str(n)) for n in range(10)))
    assert provider.peak_in_flight == 2


def gate_of(limits: Limits, model: Model, default_in_flight: int = 64, workers: int = 1, clock: Clock = CLOCK) -> Gate:
    return limits.gate(model, default_in_flight, workers=workers, clock=clock)


def test_models_do_not_take_permits_from_each_other():
    limits = Limits()
    mine = gate_of(limits, Model("scripted:a"))
    assert mine is not gate_of(limits, Model("scripted:b"))
    assert mine is not gate_of(limits, Model("scripted:a", base_url="http://x"))
    assert mine is not gate_of(limits, Model("scripted:a", api_key_env="OTHER_KEY"))
    assert mine is gate_of(limits, Model("scripted:a", temperature=1))


def test_all_who_use_a_model_share_the_lowest_limit_that_one_of_them_names():
    limits, clock = Limits(), FakeClock()
    gate = gate_of(limits, Model("scripted:a", requests_per_minute=600), clock=clock)
    assert gate is gate_of(limits, Model("scripted:a"), clock=clock)
    assert gate is gate_of(limits, Model("scripted:a", max_in_flight=1000), clock=clock)
    assert gate is gate_of(limits, Model("scripted:a", requests_per_minute=60, max_in_flight=3), clock=clock)

    async def run():
        tickets = [await gate.enter(0.0) for _ in range(3)]
        line = asyncio.create_task(gate.enter(0.0))
        for _ in range(10):
            await asyncio.sleep(0)
        in_line = not line.done()
        gate.leave()
        return in_line, [ticket.sent_at for ticket in (*tickets, await line)]

    assert asyncio.run(run()) == (True, pytest.approx([0, 1, 2, 3]))


def run_through(gate: Gate, calls: int, clock: FakeClock, input_tokens: float = 0.0, used: Usage | None = None):
    """The moments at which calls get through that end at once."""

    async def call() -> float:
        ticket = await gate.enter(input_tokens)
        gate.learn(ticket, None, used, ())
        gate.leave()
        return ticket.sent_at

    async def run() -> list[float]:
        return [await call() for _ in range(calls)]

    began = clock.monotonic()
    return [moment - began for moment in asyncio.run(run())]


def test_requests_per_minute_are_let_through_evenly():
    clock = FakeClock()
    moments = run_through(gate_of(Limits(), Model("scripted:a", requests_per_minute=30), clock=clock), 4, clock)
    assert moments == pytest.approx([0, 2, 4, 6])


def test_a_limit_is_divided_by_the_number_of_workers():
    clock = FakeClock()
    model = Model("scripted:a", requests_per_minute=30, max_in_flight=10)
    gate = gate_of(Limits(), model, workers=3, clock=clock)
    assert run_through(gate, 3, clock) == pytest.approx([0, 6, 12])

    async def most() -> int:
        tasks = [asyncio.create_task(gate.enter(0.0)) for _ in range(9)]
        for _ in range(200):
            await asyncio.sleep(0)
        entered = sum(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return entered

    assert asyncio.run(most()) == 3


def test_input_tokens_are_reckoned_before_the_call():
    clock = FakeClock()
    gate = gate_of(Limits(), Model("scripted:a", input_tokens_per_minute=6000), clock=clock)
    moments = run_through(gate, 3, clock, input_tokens=1000)
    assert moments == pytest.approx([0, 10, 20], abs=0.2)


def test_tokens_are_corrected_when_the_answer_says_how_many_there_were():
    clock = FakeClock()
    gate = gate_of(Limits(), Model("scripted:a", input_tokens_per_minute=6000), clock=clock)
    moments = run_through(gate, 3, clock, input_tokens=1000, used=Usage(input_tokens=3000))
    assert moments == pytest.approx([0, 30, 60], abs=0.2)


def test_output_tokens_are_expected_to_be_as_many_as_before():
    clock = FakeClock()
    gate = gate_of(Limits(), Model("scripted:a", output_tokens_per_minute=6000), clock=clock)
    moments = run_through(gate, 30, clock, used=Usage(output_tokens=1000))
    assert moments[-1] - moments[-2] == pytest.approx(10, abs=0.5)


def test_a_prompt_that_can_never_fit_fails_at_once_and_says_so():
    provider = ScriptedProvider([GOOD])
    caller = make_caller({"scripted": provider})
    model = Model("scripted:a", input_tokens_per_minute=100)
    [reply] = ask(caller, question("word " * 1000, model=model))
    assert reply.error is not None
    assert reply.error.error_class == "too_long"
    assert "input_tokens_per_minute is 100" in reply.error.message
    assert [attempt.sent for attempt in reply.attempts] == [False]
    assert provider.requests == []


def test_what_fits_the_whole_limit_fits_also_where_it_is_divided():
    provider = ScriptedProvider([GOOD])
    caller = make_caller({"scripted": provider}, workers=10)
    [reply] = ask(caller, question("word " * 100, model=Model("scripted:a", input_tokens_per_minute=500)))
    assert reply.error is None


def test_who_came_first_goes_first():
    async def run() -> list[int]:
        gate = gate_of(Limits(), Model("scripted:a", max_in_flight=1))
        order: list[int] = []

        async def call(number: int) -> None:
            await gate.enter(0.0)
            order.append(number)
            await asyncio.sleep(0)
            gate.leave()

        await asyncio.gather(*(call(number) for number in range(20)))
        return order

    assert asyncio.run(run()) == list(range(20))


def test_a_429_holds_back_every_call_of_the_model_for_as_long_as_the_vendor_asks():
    clock = FakeClock()
    gate = gate_of(Limits(), Model("scripted:a"), clock=clock)
    other = gate_of(Limits(), Model("scripted:b"), clock=clock)

    async def run() -> tuple[float, float]:
        ticket = await gate.enter(0.0)
        gate.learn(ticket, failed("rate_limited", retry_after_seconds=7.0), None, ())
        gate.leave()
        elsewhere = await other.enter(0.0)
        return elsewhere.sent_at, (await gate.enter(0.0)).sent_at

    assert asyncio.run(run()) == (0.0, pytest.approx(7.0))
    assert gate.throttled_seconds == pytest.approx(7.0)


def test_overload_and_time_outs_reduce_the_calls_in_flight():
    async def run() -> int:
        gate = gate_of(Limits(), Model("scripted:a", max_in_flight=10))
        tickets = [await gate.enter(0.0) for _ in range(10)]
        for ticket in tickets:
            gate.learn(ticket, failed("overloaded"), None, ())
        for _ in tickets:
            gate.leave()
        tasks = [asyncio.create_task(gate.enter(0.0)) for _ in range(10)]
        await asyncio.sleep(0.01)
        entered = sum(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return entered

    assert asyncio.run(run()) == 7


def test_the_vendors_headers_hold_calls_back_before_there_is_a_429():
    clock = FakeClock()
    gate = gate_of(Limits(), Model("scripted:a"), clock=clock)
    left = LimitState(kind="requests", limit=60, remaining=1, reset_seconds=59.0)

    async def run() -> list[float]:
        ticket = await gate.enter(0.0)
        gate.learn(ticket, None, None, (left,))
        gate.leave()
        return [(await gate.enter(0.0)).sent_at for _ in range(3)]

    assert asyncio.run(run()) == pytest.approx([0, 1, 2])


def test_a_call_that_was_not_made_gives_back_what_it_took():
    clock = FakeClock()
    gate = gate_of(Limits(), Model("scripted:a", requests_per_minute=1), clock=clock)

    async def run() -> float:
        ticket = await gate.enter(0.0)
        gate.give_back(ticket)
        gate.leave()
        return (await gate.enter(0.0)).sent_at

    assert asyncio.run(run()) == 0.0


def test_waiting_for_a_permit_is_not_part_of_the_time_out_or_the_deadline():
    """Twelve calls of 0.5 seconds one after the other, each with five seconds of patience."""
    provider = ScriptedProvider([{"label": "a"}], latency_seconds=0.5)
    caller = make_caller({"scripted": provider}, clock=SystemClock())
    model = Model("scripted:a", max_in_flight=1, timeout_seconds=5.0, attempts=1)
    replies = ask(caller, *(question(str(n), model=model, deadline_seconds=5.0) for n in range(12)))
    assert [reply.error for reply in replies] == [None] * 12
    assert replies[-1].attempts[0].waited_seconds > 5.0
    assert max(reply.attempts[0].latency_seconds for reply in replies) < 5.0


def test_a_cancelled_wait_gives_its_place_to_the_next():
    async def run():
        provider = ScriptedProvider([{"label": "a"}], latency_seconds=lambda request: 0.02)
        caller = make_caller({"scripted": provider})
        model = Model("scripted:a", max_in_flight=1)
        tasks = [asyncio.create_task(caller.ask(question(str(n), model=model, output=LABEL))) for n in range(3)]
        await eventually(lambda: provider.in_flight == 1)
        tasks[1].cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        return [type(reply).__name__ for reply in replies], len(provider.requests)

    assert asyncio.run(run()) == (["Reply", "CancelledError", "Reply"], 2)


def test_a_request_that_the_vendor_rejects_was_let_in_all_the_same():
    """Three 429s, a 400 and three 429s are not six in a row: nobody else waits."""
    clock = FakeClock()
    gate = gate_of(Limits(), Model("scripted:a"), clock=clock)
    told = [None, "rate_limited", *["rate_limited"] * 2, "bad_request", *["rate_limited"] * 2]

    async def run() -> float:
        tickets = [await gate.enter(0.0) for _ in told]
        clock.advance(1.0)
        for ticket, kind in zip(tickets, told, strict=True):
            error = None if kind is None else failed(kind, http_status=429 if kind == "rate_limited" else 400)
            gate.learn(ticket, error, None, ())
            gate.leave()
        before = clock.monotonic()
        for ticket in [await gate.enter(0.0)]:
            gate.learn(ticket, failed("rate_limited", http_status=429, retry_after_seconds=60.0), None, ())
            gate.leave()
        return (await gate.enter(0.0)).sent_at - before

    assert asyncio.run(run()) < 10

import asyncio

from calls import LABEL, ask, eventually, make_caller, question

from beam_llmdag.clock import SystemClock
from beam_llmdag.limits import Limits
from beam_llmdag.model import Model
from beam_llmdag.testing import ScriptedProvider


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


def test_models_do_not_take_permits_from_each_other():
    limits = Limits()
    assert limits.permits(Model("scripted:a"), 1) is not limits.permits(Model("scripted:b"), 1)
    assert limits.permits(Model("scripted:a"), 1) is not limits.permits(Model("scripted:a", base_url="http://x"), 1)
    assert limits.permits(Model("scripted:a", temperature=1), 1) is limits.permits(Model("scripted:a"), 1)


def test_waiting_for_a_permit_is_not_part_of_the_time_out_or_the_deadline():
    """Eight calls of 50 ms one after the other, each with 300 ms of patience."""
    provider = ScriptedProvider([{"label": "a"}], latency_seconds=0.05)
    caller = make_caller({"scripted": provider}, clock=SystemClock())
    model = Model("scripted:a", max_in_flight=1, timeout_seconds=0.3, attempts=1)
    replies = ask(caller, *(question(str(n), model=model, deadline_seconds=0.3) for n in range(8)))
    assert [reply.error for reply in replies] == [None] * 8
    assert replies[-1].attempts[0].waited_seconds > 0.3
    assert max(reply.attempts[0].latency_seconds for reply in replies) < 0.3


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

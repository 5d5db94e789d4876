import asyncio

import pytest

from beam_llmdag.calls.timeouts import Timeouts


async def waits(timeouts, seconds, awaited):
    """What came of waiting for `awaited`, and whether the time was up."""
    with timeouts.within(seconds) as timeout:
        return await awaited, timeout.expired


def test_a_block_in_time_is_left_alone():
    async def run():
        return await waits(Timeouts(), 60, asyncio.sleep(0, "done"))

    assert asyncio.run(run()) == ("done", False)


def test_a_block_that_takes_too_long_raises_a_timeout_error_and_nothing_stays_cancelled():
    async def run():
        with pytest.raises(TimeoutError):
            await waits(Timeouts(), 0.01, asyncio.sleep(60))
        task = asyncio.current_task()
        return task.cancelling(), await asyncio.sleep(0, "goes on")

    assert asyncio.run(run()) == (0, "goes on")


def test_an_error_of_the_block_is_not_the_end_of_its_time():
    async def fail():
        raise TimeoutError("the server's own")

    async def run():
        with pytest.raises(TimeoutError, match="own"), Timeouts().within(60) as timeout:
            await fail()
        return timeout.expired

    assert asyncio.run(run()) is False


def test_who_is_cancelled_from_outside_stays_cancelled():
    async def run():
        task = asyncio.create_task(waits(Timeouts(), 60, asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(run()) is True


def test_blocks_of_one_length_end_in_the_order_in_which_they_began():
    ended = []

    async def block(timeouts, name, before):
        await asyncio.sleep(before)
        with pytest.raises(TimeoutError), timeouts.within(0.05):
            await asyncio.sleep(60)
        ended.append(name)

    async def run():
        timeouts = Timeouts()
        await asyncio.gather(block(timeouts, "late", 0.02), block(timeouts, "soon", 0), block(timeouts, "first", 0))

    asyncio.run(run())
    assert ended == ["soon", "first", "late"]


def test_a_block_that_ended_does_not_keep_the_next_from_its_time_out():
    async def run():
        timeouts = Timeouts()
        await waits(timeouts, 0.05, asyncio.sleep(0))
        with pytest.raises(TimeoutError):
            await waits(timeouts, 0.05, asyncio.sleep(60))
        with pytest.raises(TimeoutError):
            await waits(timeouts, 0.05, asyncio.sleep(60))

    asyncio.run(run())


def test_any_number_of_lengths_can_be_had_at_the_same_time():
    async def run():
        timeouts = Timeouts()
        for number in range(50):
            await waits(timeouts, 60 + number, asyncio.sleep(0))
        blocks = [waits(timeouts, 0.01 + number / 10_000, asyncio.sleep(60)) for number in range(50)]
        return await asyncio.gather(*blocks, return_exceptions=True)

    assert {type(outcome) for outcome in asyncio.run(run())} == {TimeoutError}

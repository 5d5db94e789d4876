from beam_llmdag.calls.limits.ceiling import Ceiling


def test_it_starts_at_the_top_and_stays_there_without_overload():
    ceiling = Ceiling(64)
    ceiling.rise()
    assert ceiling.calls == 64


def test_overload_cuts_what_is_in_flight_by_a_share():
    ceiling = Ceiling(100)
    ceiling.cut(0.0, 100, 1.0)
    assert ceiling.calls == 70
    ceiling.cut(1.0, 20, 2.0)
    assert ceiling.calls == 14


def test_calls_from_before_the_last_cut_do_not_cut_again():
    ceiling = Ceiling(100)
    for _ in range(100):
        ceiling.cut(0.0, 100, 1.0)
    assert ceiling.calls == 70


def test_it_rises_by_a_step_per_round_of_good_calls():
    ceiling = Ceiling(100)
    ceiling.cut(0.0, 100, 1.0)
    for _ in range(70):
        ceiling.rise()
    assert 74 <= ceiling.calls <= 75
    for _ in range(1000):
        ceiling.rise()
    assert ceiling.calls == 100


def test_one_call_always_remains():
    ceiling = Ceiling(2)
    for second in range(10):
        ceiling.cut(float(second), 1, float(second))
    assert ceiling.calls == 1

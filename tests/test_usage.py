from beam_llmdag.usage import Usage


def test_usages_add_up_field_by_field() -> None:
    one = Usage(
        input_tokens=1,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_tokens=4,
        cache_write_1h_tokens=5,
        reasoning_tokens=6,
    )
    assert one + one == Usage(
        input_tokens=2,
        output_tokens=4,
        cache_read_tokens=6,
        cache_write_tokens=8,
        cache_write_1h_tokens=10,
        reasoning_tokens=12,
    )


def test_the_sum_of_no_usages_is_zero() -> None:
    assert sum([], Usage()) == Usage()

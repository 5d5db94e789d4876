"""The simulator as a command: `python -m beam_llmdag.testing --port 8123 --answers gold.jsonl --latency-ms 200`."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Sequence
from typing import get_args

from beam_llmdag.testing.simulator.answers import load_rules
from beam_llmdag.testing.simulator.batch.behaviour import BatchBehaviour
from beam_llmdag.testing.simulator.faults import FaultName, Faults
from beam_llmdag.testing.simulator.latency import Latency, constant, lognormal, with_tail
from beam_llmdag.testing.simulator.rate_limits import RateLimit
from beam_llmdag.testing.simulator.simulator import Simulator

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the simulator until Ctrl-C or SIGTERM."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        simulator = _simulator(options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with simulator:
        print(f"ANTHROPIC_BASE_URL={simulator.base_url('anthropic')}")
        print(f"OPENAI_BASE_URL={simulator.base_url('openai')}")
        print(f"GOOGLE_GEMINI_BASE_URL={simulator.base_url('google')}", flush=True)
        stopped.wait()
    print(f"{simulator.request_count} requests, answers by status: {dict(sorted(simulator.statuses.items()))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m beam_llmdag.testing",
        description="A server on 127.0.0.1 that speaks the APIs of Anthropic, OpenAI and Google. Any key will do.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one (default)")
    parser.add_argument("--answers", metavar="FILE", help='JSON Lines of rules: {"when": ["text", …], "answer": …}')
    parser.add_argument("--latency-ms", type=float, default=0.0, help="time to an answer; its median with --p99-ms")
    parser.add_argument("--p99-ms", type=float, help="1 %% of all answers take longer than this (log-normal)")
    parser.add_argument("--tail", metavar="SHARE:SECONDS", help="a share of slow answers: 0.02:3")
    parser.add_argument(
        "--fault",
        metavar="NAME=SHARE",
        action="append",
        default=[],
        help=f"a share of requests that go wrong, may be repeated; names: {', '.join(get_args(FaultName))}",
    )
    parser.add_argument("--batch-delay", type=float, default=0.0, metavar="SECONDS", help="until a batch has ended")
    parser.add_argument("--requests-per-minute", type=int, help="limit of each model")
    parser.add_argument("--input-tokens-per-minute", type=int, help="limit of each model")
    parser.add_argument("--output-tokens-per-minute", type=int, help="limit of each model")
    parser.add_argument("--seed", type=int, default=0, help="of all that is left to chance (default 0)")
    parser.add_argument("--log", metavar="FILE", help="append one line of JSON per request to this file")
    return parser


def _simulator(options: argparse.Namespace) -> Simulator:
    limit = RateLimit(
        requests=options.requests_per_minute,
        input_tokens=options.input_tokens_per_minute,
        output_tokens=options.output_tokens_per_minute,
    )
    return Simulator(
        load_rules(options.answers) if options.answers else None,
        latency=_latency(options),
        faults=_faults(options.fault),
        limits=None if limit == RateLimit() else limit,
        seed=options.seed,
        port=options.port,
        log_path=options.log,
        keep_requests=False,
        batches=BatchBehaviour(delay_seconds=options.batch_delay),
    )


def _latency(options: argparse.Namespace) -> Latency:
    median = options.latency_ms / 1000
    latency = constant(median) if options.p99_ms is None else lognormal(median, options.p99_ms / 1000)
    if options.tail is None:
        return latency
    share, colon, seconds = options.tail.partition(":")
    if not colon:
        raise ValueError(f"--tail is SHARE:SECONDS, such as 0.02:3, not {options.tail!r}")
    return with_tail(latency, float(share), float(seconds))


def _faults(settings: Sequence[str]) -> dict[FaultName, float]:
    faults: dict[FaultName, float] = {}
    for setting in settings:
        name, equals, share = setting.partition("=")
        known = next((fault for fault in get_args(FaultName) if fault == name), None)
        if known is None or not equals:
            raise ValueError(f"--fault is NAME=SHARE with a name of {', '.join(get_args(FaultName))}, not {setting!r}")
        faults[known] = float(share)
    Faults(faults)
    return faults


if __name__ == "__main__":
    main()

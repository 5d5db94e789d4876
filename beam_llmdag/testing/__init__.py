"""Test without a vendor: a server that speaks the vendors' APIs, a provider in process, a clock that never waits.

Nothing here imports Beam or an SDK.
"""

from beam_llmdag.testing.clock import FakeClock
from beam_llmdag.testing.scripted import ScriptedProvider
from beam_llmdag.testing.simulator.answers import Rule, load_rules, sample_answer
from beam_llmdag.testing.simulator.batch.behaviour import BatchBehaviour
from beam_llmdag.testing.simulator.faults import FaultName
from beam_llmdag.testing.simulator.latency import Latency, constant, lognormal, with_tail
from beam_llmdag.testing.simulator.rate_limits import RateLimit
from beam_llmdag.testing.simulator.reply import Reply
from beam_llmdag.testing.simulator.request import ApiProtocol, LoggedRequest, SimulatedRequest
from beam_llmdag.testing.simulator.sample import sample_value
from beam_llmdag.testing.simulator.simulator import Simulator

__all__ = [
    "ApiProtocol",
    "BatchBehaviour",
    "FakeClock",
    "FaultName",
    "Latency",
    "LoggedRequest",
    "RateLimit",
    "Reply",
    "Rule",
    "ScriptedProvider",
    "SimulatedRequest",
    "Simulator",
    "constant",
    "load_rules",
    "lognormal",
    "sample_answer",
    "sample_value",
    "with_tail",
]

"""How much is asked of a model at once and per minute, shared by all that runs in a process.

demand    what a call asks of them
bucket    an amount per minute
mirror    the vendor's own buckets, as its response headers show them
pace      requests per second, found from the vendor's 429s
ceiling   calls in flight, found from overload and time-outs
gate      one model's line of waiting calls, who go when all of these let them
registry  the gates of a process
"""

from beam_llmdag.calls.limits.gate import Gate, Ticket
from beam_llmdag.calls.limits.registry import Limits

__all__ = ["Gate", "Limits", "Ticket"]

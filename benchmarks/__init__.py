"""Measurements of the engine, beside a bare loop around the SDK and other libraries: `make bench`.

task      what one measured run does: read by every engine, in every virtual environment
graphs    the prompts and outputs that all engines share
engines/  one module per engine: the library itself, the bare SDK, the peers
measure   one run in a process of its own: time, CPU, memory
server    the simulated vendor, a process of its own
traffic   what came over the wire, from the server's log
cases     what is measured, and with whom
runner    a case run several times, its medians
targets   what the numbers should be
table, charts, docs, compare   how they are shown
"""

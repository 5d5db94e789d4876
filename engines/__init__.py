"""Beam's engines side by side: a Flink cluster on this machine, the same pipelines on each engine, kill -9 in between.

For trials, tests and the table in docs/engines.md; not a part of the package.
"""

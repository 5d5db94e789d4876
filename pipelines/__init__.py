"""Runnable pipelines: short, declare a dag, wire input and output."""

import beam_llmdag.beam  # noqa: F401 - first: it keeps a warning of Beam's import to itself

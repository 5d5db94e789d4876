"""Beam's `--setup_file` stages the package with this shim; all configuration is in pyproject.toml."""

from setuptools import setup

setup()

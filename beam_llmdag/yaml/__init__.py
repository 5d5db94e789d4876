"""Dags written as YAML files, and `LLMDag` in Beam YAML."""

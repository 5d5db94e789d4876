"""The Beam layer. `llm_dag.py` only wires; what a step does to an element is in the layers below."""

"""`python -m beam_llmdag.cli`: the `llmdag` command."""

from beam_llmdag.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

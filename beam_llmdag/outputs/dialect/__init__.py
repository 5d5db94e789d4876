"""JSON schemas in the dialect of each API."""

"""Paid answers: their keys, where they are kept, and the ledger of what was paid."""

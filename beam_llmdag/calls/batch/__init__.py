"""The batch lane: calls that wait in the store for a vendor's batch API, and the rounds in which they get there."""

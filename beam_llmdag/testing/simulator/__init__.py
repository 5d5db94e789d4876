"""A server on this machine that speaks the APIs of the vendors."""

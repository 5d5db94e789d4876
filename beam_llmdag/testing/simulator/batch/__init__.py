"""The vendors' batch APIs, as the simulator speaks them."""

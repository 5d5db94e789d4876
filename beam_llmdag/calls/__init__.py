"""One question answered well: store, limits, attempts, fallbacks. asyncio, no Beam."""

"""The statechart interpreter: pure, deterministic, without clock, files or asyncio."""

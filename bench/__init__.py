"""Benchmarks: what smd promises in figures, measured next to its predecessor and raw SQLite. See `__main__.py`."""

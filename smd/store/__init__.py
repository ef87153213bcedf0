"""The durable side: one protocol, two stores (SQLite and memory), one conformance suite."""

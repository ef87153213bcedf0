"""smd: one daemon that hosts every state machine of a box."""

__version__ = "0.1.0"

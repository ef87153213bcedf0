"""Bounded memory of unbounded output: the head and the tail."""

from __future__ import annotations


class Capture:
    """Keeps at most `cap` bytes of a stream, half from its start and half from its end.

    Args:
        cap: bytes kept, at least 2.
    """

    def __init__(self, cap: int) -> None:
        self._half = max(cap // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, data: bytes) -> None:
        """Take the next chunk."""
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._half :]
        if len(self._tail) > 4 * self._half:  # trimmed now and then: each byte moves a bounded number of times
            del self._tail[: -self._half]

    @property
    def dropped(self) -> int:
        """Bytes that were not kept."""
        return max(self.total - 2 * self._half, 0)

    def value(self) -> bytes:
        """What was kept, with a line in the middle that says how much is missing."""
        if not self.dropped:
            return bytes(self._head + self._tail)
        note = f"\n... {self.dropped} bytes dropped ...\n".encode()
        return bytes(self._head) + note + bytes(self._tail[-self._half :])
